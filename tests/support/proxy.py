"""An HTTP proxy that misbehaves on request: cuts, stalls, answers with errors, comes late or in a trickle."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A request as the proxy sees it."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""


@dataclass(frozen=True)
class Fault:
    """What the proxy does to one answer."""

    kind: str
    """fin, rst, stall, trickle: after `after` bytes of the body; status: answer `text` at once; late: wait first."""
    after: int = 0
    text: str = "503 Service Unavailable"
    body: str = ""
    seconds: float = 0.0


Plan = Callable[[Request], Fault | None]


@dataclass
class FaultyProxy:
    """Forwards to `target`, each answer as `plan` says.

    Args:
        target: host and port of a real server.
    """

    target: tuple[str, int]
    plan: Plan = lambda request: None
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self, plan: Plan) -> None:
        """Begin a new experiment."""
        with self._lock:
            self.plan = plan
            self.requests.clear()

    def close(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                self._answer(client)
            except OSError:
                pass  # the client has gone

    def _answer(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            received = client.recv(65536)
            if not received:
                return
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        with self._lock:
            request = Request(len(self.requests), method, path, headers)
            self.requests.append(request)
            fault = self.plan(request)
        if fault and fault.kind == "status":
            text = f"HTTP/1.1 {fault.text}\r\nContent-Length: {len(fault.body)}\r\nConnection: close\r\n\r\n"
            client.sendall((text + fault.body * (method != "HEAD")).encode())
            return
        if fault and fault.kind == "late":
            self._stopped.wait(fault.seconds)
        with socket.create_connection(self.target) as server:
            lines.insert(1, "Connection: close")
            server.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            missing = int(headers.get("content-length", "0")) - len(body)
            while missing > 0:
                piece = client.recv(65536)
                server.sendall(piece)
                missing -= len(piece)
            self._relay(server, client, fault)

    def _relay(self, server: socket.socket, client: socket.socket, fault: Fault | None) -> None:
        head, body = b"", 0
        while received := server.recv(65536):
            if b"\r\n\r\n" not in head:
                head += received
                if b"\r\n\r\n" not in head:
                    continue
                before, _, received = head.partition(b"\r\n\r\n")
                client.sendall(before + b"\r\n\r\n")
            if fault and fault.kind in ("fin", "rst", "stall", "trickle") and body + len(received) >= fault.after:
                client.sendall(received[: fault.after - body])
                self._break(client, fault, received[fault.after - body :])
                return
            client.sendall(received)
            body += len(received)

    def _break(self, client: socket.socket, fault: Fault, rest: bytes) -> None:
        if fault.kind == "rst":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault.kind == "stall":
            self._stopped.wait(fault.seconds)
        elif fault.kind == "trickle":
            for byte in rest:
                client.sendall(bytes([byte]))
                if self._stopped.wait(0.05):
                    return
