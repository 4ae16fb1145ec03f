"""Pieces of objects over a bare connection: the kernel's bytes go straight into the buffer that they are cut from.

The client costs half a CPU second a GB, which is more than decoding leaves over; this half of that. So a piece of an
object in S3 whose version is known is asked for here first, by an address that the client has signed. It is no more
than a short cut: whatever is not exactly the answer that was asked for (another status, version, range or length, a
connection that breaks, stalls or trickles) ends it, and the client goes on from the byte that was reached, with its
retries and its errors. Where that happens again and again, or a proxy is to be used, it is not tried.
"""

import logging
import socket
import ssl
import struct
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import local
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..store import Patience, Traffic
from .body import Version

logger = logging.getLogger(__name__)
_SIGNED_SECONDS = 600.0
"""How long a signed address is used; it is valid for twice as long."""
_IDLE_SECONDS = 4.0
"""Servers close what is idle for longer, some after five seconds."""
_HEAD_BYTES = 1 << 14
_LONGEST_HEAD = 1 << 16
_DISAPPOINTMENTS = 5
"""Answers in a row without one wanted byte, after which it is given up for this process."""


class Direct:
    """Bare connections to one store, kept open; for one process and any number of threads.

    Args:
        client: returns the store's obstore client.
        patience: how long bytes are waited for.
    """

    def __init__(self, client: Callable[[], Any], patience: Patience) -> None:
        self._client, self._patience = client, patience
        self._idle: deque[tuple[float, socket.socket]] = deque()
        self._signed: dict[str, tuple[float, SplitResult]] = {}
        self._buffers = local()
        self._disappointments = 0

    def receive(self, path: str, start: int, stop: int, version: Version) -> tuple[memoryview, Traffic]:
        """Return the bytes [start, stop) of an object, or as many of them as came.

        They lie in a buffer of the calling thread, which the next call overwrites.
        """
        view, traffic = self._buffer(stop - start), Traffic()
        if not version.condition or self._disappointments >= _DISAPPOINTMENTS:
            return view[:0], traffic
        began, got, connection, stays = time.perf_counter(), 0, None, False
        try:
            address = self._sign(path)
            connection = self._connect(address)
            traffic.requests = 1
            connection.sendall(_request(address, start, stop, version))
            head, rest = _head(connection)
            stays = _require(head, start, stop, version)
            got, view[: len(rest)] = len(rest), rest
            speed = _Speed(self._patience)
            while got < len(view) and (count := _receive(connection, view[got:])):
                got += count
                if speed.is_too_low(count):
                    break
        except Exception:  # of the network, of what came, or of a client that cannot sign: the client itself is asked
            logger.debug("%s: no short cut", path, exc_info=True)
        whole = got == len(view)
        if not whole:
            traffic.retries = traffic.requests  # the client asks for what is missing
            self._signed.pop(path, None)
        if connection is not None and whole and stays:
            self._idle.append((time.monotonic(), connection))
        elif connection is not None:
            connection.close()
        self._disappointments = 0 if got else self._disappointments + 1
        traffic.bytes, traffic.seconds = got, time.perf_counter() - began
        return view[:got], traffic

    def _buffer(self, size: int) -> memoryview:
        held: bytearray = getattr(self._buffers, "held", bytearray())
        if len(held) < size:
            self._buffers.held = held = bytearray(size)
        return memoryview(held)[:size]

    def _sign(self, path: str) -> SplitResult:
        import obstore

        made, address = self._signed.get(path, (0.0, None))
        if address is None or time.monotonic() - made > _SIGNED_SECONDS:
            signed = obstore.sign(self._client(), "GET", path, timedelta(seconds=2 * _SIGNED_SECONDS))
            made, address = time.monotonic(), urlsplit(signed)
            self._signed[path] = made, address
        return address

    def _connect(self, address: SplitResult) -> socket.socket:
        with suppress(IndexError):
            used, connection = self._idle.pop()
            if time.monotonic() - used < _IDLE_SECONDS:
                return connection
            self._close_idle(connection)
        host, secure = address.hostname or "", address.scheme == "https"
        if address.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
            raise OSError("a proxy is to be used")
        patience = self._patience
        connection = socket.create_connection((host, address.port or (443 if secure else 80)), patience.connect_seconds)
        if secure:
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
            connection.settimeout(patience.stall_seconds)
        else:
            connection.settimeout(None)  # the kernel keeps the time, so that it can wait for a whole piece
            for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                seconds, part = divmod(patience.stall_seconds, 1)
                connection.setsockopt(socket.SOL_SOCKET, side, struct.pack("ll", int(seconds), int(1e6 * part)))
        return connection

    def _close_idle(self, connection: socket.socket) -> None:
        """Close a connection that was idle for too long, and those that were for longer."""
        connection.close()
        with suppress(IndexError):
            while True:
                self._idle.popleft()[1].close()

    def __del__(self) -> None:
        for _, connection in self._idle:
            connection.close()


def _request(address: SplitResult, start: int, stop: int, version: Version) -> bytes:
    lines = (
        f"GET {address.path}?{address.query} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Range: bytes={start}-{stop - 1}",
        f"If-Match: {version.condition['if_match']}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of an answer, and what came with it of the body."""
    data = connection.recv(_HEAD_BYTES)
    while b"\r\n\r\n" not in data:
        more = connection.recv(_HEAD_BYTES)
        if not more or len(data) > _LONGEST_HEAD:
            raise OSError("no answer")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _require(head: bytes, start: int, stop: int, version: Version) -> bool:
    """Return whether the connection stays open; raise ValueError unless just these bytes of this version follow."""
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    wanted = {
        "content-range": f"bytes {start}-{stop - 1}/{version.size}",
        "content-length": str(stop - start),
        "etag": version.etag,
    }
    encoded = {"transfer-encoding", "content-encoding"} & fields.keys()
    if status.split(" ")[1] != "206" or encoded or any(fields.get(name) != value for name, value in wanted.items()):
        raise ValueError(f"another answer: {status}")
    return fields.get("connection", "").lower() != "close"


def _receive(connection: socket.socket, view: memoryview) -> int:
    if isinstance(connection, ssl.SSLSocket):
        return connection.recv_into(view)
    return connection.recv_into(view, len(view), socket.MSG_WAITALL)


class _Speed:
    """Bytes a second, judged each `floor_seconds`."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._bytes, self._began = patience, 0, time.perf_counter()

    def is_too_low(self, count: int) -> bool:
        self._bytes += count
        seconds = time.perf_counter() - self._began
        if seconds < self._patience.floor_seconds:
            return False
        low = self._bytes < seconds * self._patience.floor
        self._bytes, self._began = 0, time.perf_counter()
        return low
