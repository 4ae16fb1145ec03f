"""Servers that are no store, lie, or go away: told at once where no attempt can help, waited for where one can."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from avcorr.shards.errors import StoreAccessError, StoreError
from avcorr.shards.store import ByteRange, RetryPolicy
from avcorr.shards.stores.open import open_store
from tests.support.faults import DATA
from tests.support.proxy import Fault, FaultyProxy
from tests.support.servers import S3Server

BUCKET = "servers"
POLICY = RetryPolicy(first_wait=0.01, longest_wait=0.05, slow_seconds=0.3, outage_seconds=10, tell_seconds=0.2)
OK = b"HTTP/1.1 200 OK\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
TWO = OK + b"Content-Length: 2\r\n\r\n{}"


@contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give every request the same bytes; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError), connection:
                        wrapped = tls.wrap_socket(connection, server_side=True) if tls else connection
                        with wrapped:
                            wrapped.recv(1 << 16)
                            wrapped.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            OK + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            r"x.json is HTML: the server answers a page",
        ),
        (OK + b"Content-Length: 14\r\n\r\n<!DOCTYPE HTML", "x.json is HTML: the server answers a page"),
        (OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", r"x.json is compressed \(br\)"),
        (OK + b"Content-Length: 3\r\n\r\n\x1f\x8b\x08", r"x.json is compressed \(gzip\)"),
        (OK + b"Content-Length: 50\r\n\r\nabcde", "x.json breaks off at byte 5 of 50"),
        (OK + b"Connection: close\r\n\r\n{}", r"answer without a length \(Content-Length\)"),
        (OK + b"Content-Length: abc\r\n\r\n{}", "answer that is not HTTP"),
        (b"garbage\r\n\r\n", "answer that is not HTTP"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /x.json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "redirects without end",
        ),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", r"cannot be read \(400\)"),
    ],
)
def test_what_no_attempt_mends_is_told_at_once(answer: bytes, said: str) -> None:
    with answering(answer) as port:
        store = open_store(f"http://127.0.0.1:{port}", retry=POLICY)
        with pytest.raises(StoreError, match=said):
            store.read("x.json", 1000)
        assert store.traffic.retries <= 2


def test_nobody_listens_and_no_such_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address, said in (
        (f"http://127.0.0.1:{port}", "after 3 attempts: .*nobody listens there"),
        ("http://no-such-host.invalid", "its host has no address"),
    ):
        with pytest.raises(StoreError, match=said):
            open_store(address, retry=POLICY).read("x", 10)


def test_a_range_without_an_end_is_read_no_further() -> None:
    head = b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/90\r\nContent-Length: 1000000000000\r\n\r\n"
    with answering(head + bytes(1 << 22)) as port:
        store = open_store(f"http://127.0.0.1:{port}", retry=POLICY)
        assert store.read_ranges([ByteRange("x", 0, 10)]) == [bytes(10)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a private CA, ca.pem, and a server's certificate for localhost."""
    folder = tmp_path_factory.mktemp("ca")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for words in (
        ["req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2"],
        ["req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
         "server.pem", "-days", "2", "-extfile", "names"],
    ):  # fmt: skip
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", ["", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_private_ca(name: str, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority / "server.pem", authority / "server.key")
    if name:
        monkeypatch.setenv(name, str(authority / "ca.pem"))
    with answering(TWO, tls) as port:
        store = open_store(f"https://localhost:{port}", retry=POLICY)
        if name:
            assert store.read("x", 10) == b"{}"
            return
        with pytest.raises(
            StoreError, match=r"certificate \(UnknownIssuer\) is of a CA .* SSL_CERT_FILE, AWS_CA_BUNDLE"
        ):
            store.read("x", 10)
        assert store.traffic.retries == 0
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(StoreError, match="AWS_CA_BUNDLE names /nowhere.pem, which cannot be read"):
            open_store(f"https://localhost:{port}").read("x", 10)


def test_profiles(store: object, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = '{"Version": 1, "AccessKeyId": "AKTEST", "SecretAccessKey": "SKTESTSECRET"}'
    (tmp_path / "keys.json").write_text(keys)
    (tmp_path / "config").write_text(
        f"[profile lab]\ncredential_process = cat {tmp_path}/keys.json\n"
        "[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = none\n[profile a]\nsecret = %x\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert open_store("s3://servers").read("shard", 1 << 23) == DATA
    for name, said in (
        ("role", "profile role gives no keys by its role_arn"),
        ("lap", "AWS_PROFILE=lap is no profile.*there are a, lab, role"),
    ):
        monkeypatch.setenv("AWS_PROFILE", name)
        with pytest.raises(StoreAccessError, match=said):
            open_store("s3://servers").read("shard", 1 << 23)


def test_an_outage_is_waited_out(
    store: object, proxy: FaultyProxy, s3: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = open_store("s3://servers", retry=POLICY)
    assert fresh.size("shard") == len(DATA)
    end = time.monotonic() + 1
    proxy.reset(lambda request: Fault("status") if time.monotonic() < end else None)
    assert fresh.read_ranges([ByteRange("shard", 0, 1000)]) == [DATA[:1000]]
    assert len(proxy.requests) > POLICY.attempts
    told = [line for line in caplog.messages if "s3://servers has not answered for" in line]
    assert 2 <= len(told) <= 6 and "s3://servers answers again, after 1 s" in caplog.messages
