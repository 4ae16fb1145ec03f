"""A connection of the server, which is closed where it keeps others waiting: waitress has no such limits of its own."""

from contextlib import suppress
from functools import partial
from socket import socket
from typing import Any, NamedTuple

from waitress import create_server
from waitress.channel import HTTPChannel
from waitress.utilities import Error

_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Limits(NamedTuple):
    """What a connection may take."""

    head_seconds: float = 15.0
    """Until the head of a request is whole; and before a body or an answer that is too slow is broken off."""
    idle_seconds: float = 60.0
    """Between an answer and the next request."""
    least_speed: float = 4096.0
    """Bytes a second of a body that arrives and of an answer that is fetched, on the average."""
    of_an_address: int = 20
    """Connections of one address at once."""


class NoSpace(Error):  # type: ignore[misc]  # noqa: N818
    """The answer where a body does not find room in the temporary folder."""

    code, reason = 507, "Insufficient Storage"


class Connection(HTTPChannel):  # type: ignore[misc]
    """Counts what it moves, and knows whether it is late; those of an address beyond the limit are closed at once."""

    request: Any

    def __init__(self, limits: Limits, server: Any, sock: Any, addr: Any, *more: Any, **settings: Any) -> None:
        super().__init__(server, sock, addr, *more, **settings)
        self._limits = limits
        self._answered, self._sent = 0, 0
        self._phase, self._since, self._before = ("head", 0), self.creation_time, 0
        others = [channel for channel in server.active_channels.values() if channel.addr[0] == addr[0]]
        if len(others) > self._limits.of_an_address:
            with suppress(OSError):
                sock.send(_TOO_MANY)
            self.will_close = True

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send bytes and count them."""
        count: int = super().send(data, do_close=do_close)
        self._sent += count
        return count

    def service(self) -> None:
        """Answer a request and count it."""
        super().service()
        self._answered += 1

    def received(self, data: bytes) -> bool:
        """Take bytes of requests; where there is no room for a body, say so instead of hanging up."""
        try:
            return bool(super().received(data))
        except OSError as error:
            with self.requests_lock:
                request, self.request = self.request, None
                request.error = NoSpace(f"the temporary folder has no room for the file ({error.strerror})")
                self.requests.append(request)
                if len(self.requests) == 1:
                    self.server.add_task(self)
            return True

    def is_late(self, now: float) -> bool:
        """Return whether it has taken longer than it may for what it does; asked every second or so."""
        name, moved = self._doing()
        if (name, self._answered) != self._phase:
            self._phase, self._since, self._before = (name, self._answered), now, moved
        waited: float = now - self._since
        if name in ("body", "answer"):
            return moved - self._before < (waited - self._limits.head_seconds) * self._limits.least_speed
        most = {"head": self._limits.head_seconds, "idle": self._limits.idle_seconds}
        return name in most and waited > most[name]

    def _doing(self) -> tuple[str, int]:
        """Return what it is at, and the bytes that were moved so far."""
        request: Any = self.request
        if self.total_outbufs_len:
            return "answer", self._sent
        if self.requests:
            return "work", 0
        if request is None:
            return "idle" if self._answered else "head", 0
        return ("body", request.body_bytes_received) if request.headers_finished else ("head", 0)


def make_server(application: Any, listening: socket, most_bytes: int, limits: Limits, threads: int) -> Any:
    """Return a server of waitress whose connections have limits; its `run` ends with Ctrl-C, which it keeps to itself.

    Args:
        most_bytes: of a body; a larger one is refused before it is read.
        threads: that answer.
    """
    server: Any = create_server(
        application, sockets=[listening], threads=threads, max_request_body_size=most_bytes + 1, connection_limit=200,
        max_request_header_size=1 << 15, ident="avcorr", clear_untrusted_proxy_headers=True,
    )  # fmt: skip

    def maintain(now: float) -> None:
        for connection in tuple(server.active_channels.values()):
            connection.will_close = connection.will_close or connection.is_late(now)

    server.channel_class = partial(Connection, limits)
    server.maintenance = maintain
    server.adj.cleanup_interval = server.adj.asyncore_loop_timeout = min(1.0, limits.head_seconds / 4)
    return server
