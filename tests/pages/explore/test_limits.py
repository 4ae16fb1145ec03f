"""What one who connects may take, and what others get meanwhile: real sockets, and limits short enough to wait for."""

import io
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from PIL import Image
from waitress.buffers import TempfileBasedBuffer
from werkzeug.test import Client

from avcorr.model.embedding.embedder import Embedder
from avcorr.pages.explore.clips import Clips
from avcorr.pages.explore.connection import Limits, make_server
from avcorr.pages.explore.errors import ExploreError
from avcorr.pages.explore.explorer import Explorer
from avcorr.pages.explore.uploads import AT_ONCE, MEMORY_BYTES, Uploads
from avcorr.pages.explore.web import Application
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.search import Searcher
from avcorr.shards.format.jpeg import MOST_PIXELS
from avcorr.shards.stores.open import open_store

SHORT = Limits(head_seconds=0.4, idle_seconds=0.8, least_speed=50_000, of_an_address=6)
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 8_000_000
"""More than sockets hold."""


def answer(environ: Mapping[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    size = len(environ["wsgi.input"].read())
    body = bytes(LARGE) if environ["PATH_INFO"] == "/large" else b"%d" % size
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


@contextmanager
def serving(limits: Limits = SHORT) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server, stop = make_server(answer, listening, 10**7, limits, 2), threading.Event()
        maintain = server.maintenance

        def maintain_or_stop(now: float) -> None:
            if stop.is_set():
                raise SystemExit
            maintain(now)

        server.maintenance = maintain_or_stop
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()
            for connection in tuple(server.active_channels.values()):
                connection.handle_close()
            server.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def asked(port: int) -> bytes:
    with connect(port) as connection:
        connection.sendall(ASK)
        return connection.recv(100)


def lived(connection: socket.socket, trickle: bytes, pause: float = 0.05) -> float:
    """Send a byte now and then, without an end; return after how many seconds the other side closed."""
    began = time.monotonic()
    connection.settimeout(pause)
    try:
        for number in range(200):
            connection.sendall(trickle[number % len(trickle) :][:1] if trickle else b"")
            try:
                if not connection.recv(1 << 16):
                    break
            except TimeoutError:
                continue
    except ConnectionError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_is_whole_in_time_or_the_connection_is_closed(port: int, begin: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(begin)
        assert 0.3 < lived(connection, b"a" if begin else b"") < 3
        assert b"200 OK" in asked(port)


def test_others_are_answered_beside_those_that_trickle(port: int) -> None:
    held = [connect(port) for _ in range(SHORT.of_an_address - 1)]
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
    began = time.monotonic()
    assert b"200 OK" in asked(port) and time.monotonic() - began < 3
    for connection in held:
        connection.close()


def test_an_address_has_so_many_connections(port: int) -> None:
    time.sleep(0.1)
    held = [connect(port) for _ in range(SHORT.of_an_address)]
    time.sleep(0.2)
    assert asked(port).startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    time.sleep(0.2)
    assert b"200 OK" in asked(port)


def test_a_body_has_a_least_speed(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(head)
        assert 0.3 < lived(connection, b"a") < 3
    with connect(port) as connection:  # slow, but fast enough, and longer than a head may take
        connection.sendall(head)
        for _ in range(10):
            connection.sendall(bytes(100_000))
            time.sleep(0.08)
        assert connection.recv(1000).endswith(b"1000000")


def test_an_answer_has_to_be_fetched(port: int) -> None:
    def fetch(pause: float) -> int:
        got = 0
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else all of it lies in there
            connection.settimeout(10)
            connection.connect(("127.0.0.1", port))
            connection.sendall(ASK.replace(b"GET / ", b"GET /large ").replace(b"Host", b"Connection: close\r\nHost"))
            time.sleep(pause)
            with suppress(ConnectionError):
                while piece := connection.recv(1 << 20):
                    got += len(piece)
        return got

    assert any(fetch(pause) <= LARGE for pause in (1.5, 3, 6))
    assert any(fetch(0) > LARGE for _ in range(5))  # either end may be slow once on a machine under load


def test_a_connection_that_was_answered_may_wait_a_little_longer(port: int) -> None:
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(ASK)
            said = b""
            while not said.endswith(b"\r\n\r\n0"):
                said += connection.recv(1000)
            time.sleep(SHORT.head_seconds + 0.1)
        assert lived(connection, b"") < 3


def test_a_full_temporary_folder_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(TempfileBasedBuffer, "newfile", lambda self: full)
    with connect(port) as connection:
        # One byte more than is kept in memory: of bytes that nobody has read, a closed connection is reset.
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n" + bytes((512 << 10) + 1))
        said = b"".join(iter(lambda: connection.recv(1000), b""))
    full.close()
    assert said.startswith(b"HTTP/1.1 507 ") and b"the temporary folder has no room for the file (No space" in said
    assert b"200 OK" in asked(port)


def png(width: int, height: int) -> bytes:
    """Return a PNG that begins as one of this size, of 16 bits and four channels, and is short."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(99))),
        (b"IEND", b""),
    )
    made = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def jpeg(width: int, height: int) -> bytes:
    """Return a progressive JPEG that claims a size."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG", progressive=True)
    made = data.getvalue()
    place = made.index(b"\xff\xc2") + 5
    return made[:place] + struct.pack(">HH", height, width) + made[place + 4 :]


@pytest.mark.parametrize("data", [png(12000, 12000), jpeg(16000, 16000), jpeg(8192, 8193)])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(embedder: Embedder, data: bytes) -> None:
    uploads, began = Uploads(embedder, 10**6), time.monotonic()
    with pytest.raises(ExploreError, match=f"or has more than {MOST_PIXELS} pixels"):
        uploads.add(io.BytesIO(data), "large")
    assert time.monotonic() - began < 5 and AT_ONCE * uploads._backend.memory_bytes == MEMORY_BYTES


@pytest.fixture(scope="module")
def client(shards: Any, embedded: Any, embedder: Embedder) -> Client:
    searcher = Searcher(EmbeddingFolder(embedded))
    clips = Clips(open_store(shards), searcher.embeddings)
    return Client(Application(Explorer("run", searcher, clips, embedder, 10**6)))


@pytest.mark.parametrize(("asked", "status"), [
    ("bytes=0-5", 206), ("Bytes=0-5", 206), ("bytes=99999999-", 416), ("items=0-5", 200), ("seconds=0-", 200),
    ("", 200),
])  # fmt: skip
def test_units_of_ranges_that_are_not_known_are_ignored(
    client: Client, embedded: Any, asked: str, status: int
) -> None:  # fmt: skip
    key = EmbeddingFolder(embedded).keys[0]
    found = client.get(f"/clip/{key}/sound.wav", headers={"Range": asked} if asked else {})
    assert found.status_code == status
