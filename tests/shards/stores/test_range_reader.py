"""Ranges received as a whole: the same bytes, and what goes wrong is asked for again in chunks, or told."""

import os
import random
import threading
import time
from dataclasses import replace

import obstore
import pytest

from avcorr.shards.errors import (
    ObjectChangedError,
    ShardTruncatedError,
    StoreAccessError,
    StoreError,
    StoreUnreachableError,
)
from avcorr.shards.store import ByteRange, Store
from avcorr.shards.stores.open import open_store
from avcorr.shards.stores.remote import RemoteStore
from tests.support.faults import DATA, POLICY, SIZE, first
from tests.support.proxy import Fault, FaultyProxy
from tests.support.servers import S3Server

BUCKET = "ranges"
HASTY = replace(POLICY, range_seconds=1.5)
PIECE = ByteRange("shard", 100_000, 3_100_000)
WANTED = DATA[PIECE.start : PIECE.stop]


@pytest.fixture
def store(proxy: FaultyProxy, store: Store) -> Store:
    """A store that knows the object's version, as one does that has looked at a shard's size."""
    store = open_store("s3://ranges", retry=HASTY)
    assert store.size("shard") == SIZE
    return store


def read(store: Store, piece: ByteRange = PIECE) -> bytes:
    return store.read_ranges([piece])[0]


def test_a_range_is_one_request_for_its_version(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(lambda request: None)
    assert read(store) == WANTED
    (request,) = proxy.requests
    assert request.headers["range"] == "bytes=100000-3099999" and request.headers["if-match"]
    assert store.traffic.bytes == len(WANTED) and store.traffic.retries == 0
    fresh = open_store("s3://ranges", retry=HASTY)
    proxy.reset(lambda request: None)
    assert read(fresh) == WANTED == read(fresh)
    assert ["if-match" in request.headers for request in proxy.requests] == [False, True]


@pytest.mark.parametrize("after", [1, 1_500_000, len(WANTED) - 200])
@pytest.mark.parametrize("kind", ["fin", "rst", "stall", "trickle"])
def test_a_range_that_breaks_off_is_asked_for_again(store: Store, proxy: FaultyProxy, kind: str, after: int) -> None:
    proxy.reset(first(Fault(kind, after, seconds=30)))
    began = time.monotonic()
    assert read(store) == WANTED
    assert time.monotonic() - began < 20
    assert [request.headers["range"] for request in proxy.requests] == ["bytes=100000-3099999"] * 2
    assert all("if-match" in request.headers for request in proxy.requests)
    assert store.traffic.bytes == len(WANTED) and store.traffic.retries == 1


def test_one_that_breaks_off_twice_goes_on_from_the_byte_that_was_reached(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(lambda request: Fault("fin", 1_500_000) if request.number < 2 else None)
    assert read(store) == WANTED
    starts = [request.headers["range"] for request in proxy.requests]
    assert starts == ["bytes=100000-3099999", "bytes=100000-3099999", "bytes=1600000-3099999"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("200 OK", None),
        ("301 Moved Permanently", None),
        ("403 Forbidden", StoreAccessError),
        ("416 No", ObjectChangedError),
        ("503 Slow Down", None),
    ],
)
def test_another_answer_is_no_data(store: Store, proxy: FaultyProxy, text: str, error: type[StoreError] | None) -> None:
    proxy.reset(first(Fault("status", text=text, body="x" * len(WANTED))))
    if error is None:
        assert read(store) == WANTED
        return
    with pytest.raises(error):
        read(store)
    assert len(proxy.requests) == 1


def test_where_all_is_slow_ranges_are_read_chunk_by_chunk(store: Store, proxy: FaultyProxy) -> None:
    """An answer that comes 0.6 s late is too slow as a whole, which may take 0.3 s; the sixth is not tried so."""
    slow = open_store("s3://ranges", retry=replace(POLICY, stall_seconds=5, range_seconds=0.3))
    assert slow.size("shard") == SIZE
    proxy.reset(lambda request: Fault("late", seconds=0.6))
    for _ in range(7):
        assert read(slow) == WANTED
    assert len(proxy.requests) == 5 * 2 + 2


def test_faults_that_stay_are_told(store: Store, proxy: FaultyProxy) -> None:
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
    obstore.put(s3.client("ranges"), "replaced", DATA)
    store.size("replaced")
    obstore.put(s3.client("ranges"), "replaced", other)
    with pytest.raises(ObjectChangedError, match="was replaced"):
        read(store, ByteRange("replaced", 0, 1000))


def test_many_threads_share_it_and_leave_nothing(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    files = len(os.listdir("/proc/self/fd"))
    store = open_store("s3://ranges", retry=HASTY)
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
