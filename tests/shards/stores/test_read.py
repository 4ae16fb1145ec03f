"""Reading from a folder, from S3 and over HTTP gives the same bytes and the same errors."""

import multiprocessing
import os
import pickle
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import pytest

from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.errors import (
    MissingBucketError,
    MissingObjectError,
    ShardTruncatedError,
    StoreAccessError,
    StoreError,
    StoreUnreachableError,
)
from avcorr.shards.store import ByteRange, RetryPolicy, Store
from avcorr.shards.stores.cache import Cache
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.stores.open import OPENERS, open_store
from avcorr.shards.stores.range_reader import Version
from avcorr.shards.stores.remote import RemoteStore
from avcorr.shards.stores.retries import classify_error
from tests.support.servers import S3Server, endless_server, http_server

FILES = {"a/one.bin": random.Random(1).randbytes(3_000_000), "a/b/two": b"hello", "c.json": b"{}", "empty": b""}
MOST = 1 << 23
HASTY = RetryPolicy(
    attempts=3, first_wait=0.01, longest_wait=0.02, connect_seconds=1, stall_seconds=1, outage_seconds=0.2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def addresses(folder: Path, s3: S3Server) -> Iterator[dict[str, str]]:
    client = s3.make_bucket("reading")
    for name, data in FILES.items():
        obstore.put(client, f"some/prefix/{name}", data)
    with http_server(folder) as address:
        yield {"path": str(folder), "file": f"file://{folder}", "s3": "s3://reading/some/prefix", "http": address}


@pytest.fixture(params=["path", "file", "s3", "http"])
def store(request: pytest.FixtureRequest, addresses: dict[str, str], aws: None) -> Store:
    return open_store(addresses[request.param])


def test_whole_files(store: Store) -> None:
    for name, data in FILES.items():
        assert store.read(name, MOST) == data
        assert store.size(name) == len(data)
    assert list(store.read_all(FILES, MOST)) == list(FILES.values())
    assert store.traffic.bytes == 2 * sum(map(len, FILES.values()))
    assert store.traffic.retries == 0


def test_a_file_that_is_too_large_is_refused_before_its_first_byte(store: Store) -> None:
    size = len(FILES["a/one.bin"])
    assert len(store.read("a/one.bin", size)) == size
    for call in (lambda: store.read("a/one.bin", size - 1), lambda: list(store.read_all(["a/one.bin"], size - 1))):
        with pytest.raises(StoreError, match=f"a/one.bin has {size} bytes; a file of its kind has at most {size - 1}$"):
            call()
    assert store.traffic.bytes == size


def test_a_server_that_never_ends_is_read_no_further_than_the_limit() -> None:
    """By its length where it tells one; a body without one is not begun."""
    for head in (b"Content-Length: 1000000000000\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n", b""):
        with endless_server(head) as (address, sent):
            store = open_store(address, retry=HASTY)
            with pytest.raises(StoreError, match="1000000000000 bytes; a file" if head else "x.json"):
                store.read("x.json", MOST)
            assert store.traffic.bytes == 0 and sum(sent) < 1 << 26  # what the buffers of sockets hold


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    store = LocalStore(tmp_path)
    for name in ("pipe", "zero", "folder"):
        for call in (
            lambda: store.read(name, MOST),  # noqa: B023
            lambda: store.size(name),  # noqa: B023
            lambda: store.read_ranges([ByteRange(name, 0, 5)]),  # noqa: B023
            lambda: store.stream(name, 0, 5).__enter__(),  # noqa: B023
        ):
            with pytest.raises(StoreError, match=f"{name} is no regular file$"):
                call()
    with pytest.raises(StoreError, match=r"pipe/x cannot be read \(Not a directory\)"):
        store.read("pipe/x", MOST)
    assert list(store.list("")) == ["pipe", "zero"]


def test_ranges_come_in_the_order_asked_for(store: Store) -> None:
    draw = random.Random(2)
    data = FILES["a/one.bin"]
    ranges = [ByteRange("a/b/two", 1, 3), ByteRange("a/one.bin", 7, 7)]
    for _ in range(100):
        start = draw.randrange(len(data))
        ranges.append(ByteRange("a/one.bin", start, min(len(data), start + draw.randrange(1, 50_000))))
    draw.shuffle(ranges)
    assert store.read_ranges(ranges) == [FILES[piece.path][piece.start : piece.stop] for piece in ranges]
    assert store.read_ranges([]) == []


def test_a_stream_gives_its_bytes_and_no_more(store: Store) -> None:
    data = FILES["a/one.bin"]
    with store.stream("a/one.bin", 1000, 2_500_000) as file:
        pieces = [file.read(512), file.read(1_000_000), file.read(0), file.read()]
        assert file.read(10) == b""
    assert b"".join(pieces) == data[1000:2_500_000]
    assert [len(piece) for piece in pieces] == [512, 1_000_000, 0, 1_498_488]


def test_what_is_too_short_raises(store: Store) -> None:
    size = len(FILES["a/one.bin"])
    for start, stop in ((0, size + 1), (size - 5, size + 5), (size, size + 5), (size + 9, size + 99)):
        with pytest.raises(ShardTruncatedError, match=r"one\.bin"):
            store.read_ranges([ByteRange("a/one.bin", start, stop)])
        with pytest.raises(ShardTruncatedError, match=r"one\.bin"), store.stream("a/one.bin", start, stop) as file:
            file.read()


def test_what_is_missing_raises(store: Store) -> None:
    for call in (
        lambda path: store.read(path, MOST),
        store.size,
        lambda path: store.read_ranges([ByteRange(path, 0, 1)]),
    ):
        with pytest.raises(MissingObjectError, match="nowhere") as caught:
            call("a/nowhere")
        assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, StoreError)


def test_names_are_listed_but_not_over_http(store: Store) -> None:
    if store.url.startswith("http"):
        with pytest.raises(StoreError, match="listed"):
            store.list("")
        return
    assert list(store.list("")) == sorted(FILES)
    assert list(store.list("a")) == ["a/b/two", "a/one.bin"]
    assert list(store.list("nowhere")) == []


def test_a_store_travels_to_other_processes(store: Store) -> None:
    again = pickle.loads(pickle.dumps(store))
    assert again.url == store.url and again.read("a/b/two", MOST) == b"hello"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(store.read, ("a/b/two", MOST)) == b"hello"


@pytest.mark.parametrize("used", [False, True])
def test_after_a_fork_a_store_works_or_says_why_not(addresses: dict[str, str], aws: None, used: bool) -> None:
    """Forked from a process that has never opened a client; once it has, the child must not hang."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said = pool.apply(_read_in_a_fork, (addresses["s3"], used))
    assert said == ("StoreError: forkserver" if used else "hello")


def _read_in_a_fork(address: str, used: bool) -> str:
    store = open_store(address)
    if used:
        store.read("c.json", MOST)
    receiver, sender = os.pipe()
    if os.fork() == 0:
        try:
            said = store.read("a/b/two", MOST).decode()
        except StoreError as error:
            said = f"{type(error).__name__}: {'forkserver' if 'forkserver' in str(error) else error}"
        os.write(sender, said.encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as file:
        return file.read()


def test_threads_share_a_store(addresses: dict[str, str], aws: None) -> None:
    store = open_store(addresses["s3"])
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(store.read("a/one.bin", MOST))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [FILES["a/one.bin"]] * 8


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://host/x", "begins with ftp://"),
        ("s3://", "names no bucket"),
        ("https:///x", "names no host"),
        ("https://host/x?token=1", "has a query"),
        ("file://host/x", "another host"),
        (Path("s3://bucket/x"), "taken for a path"),
    ],
)
def test_a_wrong_address_is_told(address: str | Path, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        open_store(address)


class OtherStore(LocalStore):
    """A store of another kind, as somebody would add one: a class with the methods of a store."""

    is_local = survives_fork = False

    def __init__(self, address: str, retry: RetryPolicy) -> None:
        super().__init__(Path(urlsplit(address).path))

    def version(self, path: str) -> Version:
        status = (self.root / path).stat()
        return Version(None, datetime.fromtimestamp(status.st_mtime, UTC), status.st_size)


def test_another_store_is_a_class_and_its_line_in_the_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPENERS, "other", OtherStore)
    golden = Path(__file__).parents[2] / "golden" / "v1"
    assert not list(verify(f"other://host{golden}", full=True, workers=1))
    store = open_store(f"other://host{folder}", cache=Cache(tmp_path, 10**8))
    for _ in range(2):
        assert store.read_ranges([ByteRange("a/one.bin", 5, 9000)]) == [FILES["a/one.bin"][5:9000]]
    assert store.traffic.bytes == 1 << 20 and list(store.list("a")) == ["a/b/two", "a/one.bin"]


@pytest.mark.parametrize("scheme", sorted(OPENERS))
def test_advice_is_that_of_the_kind_of_store(scheme: str) -> None:
    store = open_store(f"{scheme}://place/folder")
    assert isinstance(store, RemoteStore)
    error, *_ = classify_error(PermissionError("status code: 403"), f"{store.url}/x", store.url, store.service)
    words = {"s": "AWS_", "g": "GOOGLE_", "a": "AZURE_", "h": "USER:PASSWORD"}
    assert words[scheme[0]] in str(error) and sum(word in str(error) for word in words.values()) == 1


def test_a_query_is_not_repeated_in_the_message() -> None:
    with pytest.raises(StoreError, match="https://host/x has a query") as caught:
        open_store("https://host/x?signature=secret")
    assert "secret" not in str(caught.value)


def test_a_user_and_password_in_an_address_are_sent_but_not_shown(folder: Path) -> None:
    with http_server(folder, password="me:se cret") as address:
        store = open_store(address.replace("://", "://me:se%20cret@"))
        assert store.url == address and store.read("a/b/two", MOST) == b"hello" and store.size("a/b/two") == 5
        for wrong in (address, address.replace("://", "://me:other@")):
            with pytest.raises(StoreAccessError, match="refuses the credentials") as caught:
                open_store(wrong, retry=HASTY).read("a/b/two", MOST)
            assert "other" not in str(caught.value)


def test_a_store_without_an_account_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="az://container/x cannot be used.*AZURE_STORAGE_ACCOUNT_NAME"):
        open_store("az://container/x").read("a", MOST)


@pytest.mark.parametrize(
    ("changes", "address", "kind", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "s3://reading/x", StoreAccessError, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "s3://reading/x", StoreAccessError, "InvalidAccessKeyId"),
        ({"AWS_SKIP_SIGNATURE": "true"}, "s3://reading/x", StoreAccessError, "AccessDenied"),
        ({"AWS_SESSION_TOKEN": "old"}, "s3://reading/x", StoreAccessError, "InvalidTokenId"),
        ({}, "s3://nobucket/x", MissingBucketError, "no bucket 'nobucket'"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://reading/x", StoreUnreachableError, "after 3 attempts"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(
    changes: dict[str, str], address: str, kind: type[StoreError], said: str,
    addresses: dict[str, str], aws: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    store = open_store(address, retry=HASTY)
    calls = [lambda: store.read("c.json", MOST), lambda: store.size("c.json"), lambda: list(store.list(""))]
    for call in calls:
        with pytest.raises(kind, match=said) as caught:
            call()
        assert "\n" not in str(caught.value) and address in str(caught.value)


def test_keys_may_lie_in_the_files_of_the_aws_command_line(
    addresses: dict[str, str], s3: S3Server, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in s3.environment():
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
        "[lab]\naws_access_key_id = AKTEST\naws_secret_access_key = SKTESTSECRET\n"
    )
    (tmp_path / "config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert open_store(addresses["s3"]).read("a/b/two", MOST) == b"hello"
