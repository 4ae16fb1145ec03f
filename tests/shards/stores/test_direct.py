"""The short cut past the client: the same bytes, and whatever goes wrong with it is put right by the client."""

import os
import random
import threading
import time
from collections.abc import Iterator

import obstore
import pytest

from avcorr.shards.errors import ObjectChangedError, ShardTruncatedError, StoreAccessError, StoreUnreachableError
from avcorr.shards.store import ByteRange, Patience, Store
from avcorr.shards.stores.open import open_store
from avcorr.shards.stores.remote import RemoteStore
from tests.support.proxy import Fault, FaultyProxy, Plan, Request
from tests.support.servers import S3Server

SIZE = 4_000_000
DATA = random.Random(5).randbytes(SIZE)
PATIENCE = Patience(
    attempts=5, first_wait=0.01, longest_wait=0.05, connect_seconds=2, stall_seconds=0.6, floor_seconds=0.5
)
PIECE = ByteRange("shard", 100_000, 3_100_000)
WANTED = DATA[PIECE.start : PIECE.stop]


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    obstore.put(s3.make_bucket("direct"), "shard", DATA)
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    yield proxy
    proxy.close()


@pytest.fixture
def store(proxy: FaultyProxy, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that knows the object's version, as one does that has looked at a shard's size."""
    for name, value in s3.environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    proxy.reset(lambda request: None)
    store = open_store("s3://direct", patience=PATIENCE)
    assert store.size("shard") == SIZE
    return store


def is_direct(request: Request) -> bool:
    """Return whether a request came by a signed address."""
    return "X-Amz-Signature=" in request.path


def on_direct(fault: Fault) -> Plan:
    return lambda request: fault if is_direct(request) else None


def read(store: Store, piece: ByteRange = PIECE) -> bytes:
    return store.read_ranges([piece])[0]


def test_pieces_of_a_known_object_go_past_the_client(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(lambda request: None)
    assert read(store) == WANTED
    (request,) = proxy.requests
    assert is_direct(request) and request.headers["range"] == "bytes=100000-3099999" and request.headers["if-match"]
    assert store.traffic.bytes == len(WANTED) and store.traffic.retries == 0
    fresh = open_store("s3://direct", patience=PATIENCE)
    proxy.reset(lambda request: None)
    assert read(fresh) == WANTED and not any(map(is_direct, proxy.requests))  # which version there is, it must learn


@pytest.mark.parametrize("after", [1, 1_500_000, len(WANTED) - 200])
@pytest.mark.parametrize("kind", ["fin", "rst", "stall", "trickle"])
def test_the_client_goes_on_where_it_breaks_off(store: Store, proxy: FaultyProxy, kind: str, after: int) -> None:
    proxy.reset(on_direct(Fault(kind, after, seconds=5)))
    began = time.monotonic()
    assert read(store) == WANTED
    assert time.monotonic() - began < 4
    first, *others = proxy.requests
    assert is_direct(first) and len(others) == 1 and not is_direct(others[0])
    begin = int(others[0].headers["range"].removeprefix("bytes=").partition("-")[0])
    assert begin >= PIECE.start and store.traffic.bytes == len(WANTED)
    if kind in ("fin", "stall"):
        assert begin == PIECE.start + after


@pytest.mark.parametrize("text", ["200 OK", "301 Moved Permanently", "403 Forbidden", "416 No", "503 Slow Down"])
def test_another_answer_is_no_data(store: Store, proxy: FaultyProxy, text: str) -> None:
    proxy.reset(on_direct(Fault("status", text=text, body="x" * len(WANTED))))
    assert read(store) == WANTED


def test_it_is_given_up_where_it_never_works(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(on_direct(Fault("status", text="403 Forbidden")))
    for _ in range(12):
        assert read(store) == WANTED
    assert sum(map(is_direct, proxy.requests)) == 5


def test_errors_are_the_clients(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(lambda request: Fault("fin", 0))
    with pytest.raises(StoreUnreachableError, match="after 5 attempts"):
        read(store)
    proxy.reset(lambda request: Fault("status", text="403 Forbidden", body="<Error><Code>AccessDenied</Code></Error>"))
    with pytest.raises(StoreAccessError, match="refuses the credentials"):
        read(store)
    with pytest.raises(ShardTruncatedError, match="has 4000000 bytes, not 4000010"):
        proxy.reset(lambda request: None)
        read(store, ByteRange("shard", SIZE - 10, SIZE + 10))


@pytest.mark.parametrize("other", [DATA[::-1], DATA[:-5], DATA + b"more"])
def test_another_version_raises(store: Store, s3: S3Server, other: bytes) -> None:
    obstore.put(s3.client("direct"), "replaced", DATA)
    store.size("replaced")
    obstore.put(s3.client("direct"), "replaced", other)
    with pytest.raises(ObjectChangedError, match="was replaced"):
        read(store, ByteRange("replaced", 0, 1000))


def test_a_proxy_of_the_environment_is_respected(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxy.reset(lambda request: None)
    assert read(store) == WANTED  # by the client, which was made before there was a proxy
    assert not any(map(is_direct, proxy.requests))


def test_many_threads_share_it_and_leave_nothing(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    files = len(os.listdir("/proc/self/fd"))
    store = open_store("s3://direct", patience=PATIENCE)
    assert isinstance(store, RemoteStore) and store.size("shard") == SIZE
    draw = random.Random(0)
    starts = [draw.randrange(SIZE - 5000) for _ in range(300)]
    wrong: list[int] = []

    def work() -> None:
        for start in starts:
            if read(store, ByteRange("shard", start, start + 5000)) != DATA[start : start + 5000]:
                wrong.append(start)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and store.traffic.retries == 0
    assert len(os.listdir("/proc/self/fd")) <= files + 12
