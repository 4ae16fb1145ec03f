"""The cache: each block once, the right bytes always, never too large, shared by processes, nothing left over."""

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from avcorr.shards.errors import ShardTruncatedError, StoreUnreachableError
from avcorr.shards.store import ByteRange, RetryPolicy, Store
from avcorr.shards.stores.cache import Cache
from avcorr.shards.stores.cached_store import CachedStore
from avcorr.shards.stores.open import open_store
from avcorr.shards.stores.remote import RemoteStore
from avcorr.shards.stores.s3 import S3
from tests.support.proxy import Fault, FaultyProxy
from tests.support.servers import S3Server

BLOCK = 10_000
FILES = {f"{split}/shard": random.Random(split).randbytes(105_000) for split in ("train", "test")}
POLICY = RetryPolicy(attempts=2, first_wait=0.01, stall_seconds=1, outage_seconds=0.2)


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    client = s3.make_bucket("cached")
    for name, data in FILES.items():
        obstore.put(client, name, data)
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def environment(proxy: FaultyProxy, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    proxy.reset(lambda request: None)


def open_cached(folder: Path, limit: int = 10**6) -> CachedStore:
    return CachedStore(RemoteStore(S3, "s3://cached", POLICY), Cache(folder, limit), BLOCK)


def draw_ranges(seed: int, count: int) -> list[ByteRange]:
    draw = random.Random(seed)
    ranges = []
    for _ in range(count):
        path = draw.choice(sorted(FILES))
        start = draw.randrange(105_000)
        ranges.append(ByteRange(path, start, min(105_000, start + draw.choice([0, 1, 700, 30_000]))))
    return ranges


def expected(ranges: list[ByteRange]) -> list[bytes]:
    return [FILES[piece.path][piece.start : piece.stop] for piece in ranges]


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*") if path.is_file()]


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path, proxy: FaultyProxy) -> None:
    ranges = draw_ranges(1, 60)
    assert open_cached(tmp_path).read_ranges(ranges) == expected(ranges)
    proxy.reset(lambda request: None)
    again = open_cached(tmp_path)
    assert again.read_ranges(ranges) == expected(ranges)
    assert [request.method for request in proxy.requests] == ["HEAD", "HEAD"] and not again.traffic.bytes


def test_streams_fill_and_use_it(tmp_path: Path, proxy: FaultyProxy) -> None:
    data = FILES["train/shard"]
    store = open_cached(tmp_path)
    store.read_ranges([ByteRange("train/shard", 35_000, 36_000), ByteRange("train/shard", 71_000, 72_000)])
    for start, stop in ((12_345, 98_765), (0, 105_000), (0, 105_000), (20_000, 20_000)):
        before = store.traffic.bytes
        with store.stream("train/shard", start, stop) as file:
            parts = [file.read(7), file.read(40_000), file.read(), file.read(5)]
        assert b"".join(parts) == data[start:stop]
    assert store.traffic.bytes == before
    with store.stream("test/shard", 0, 105_000) as file:
        file.read(15_000)  # left early
    assert store.read_ranges([ByteRange("test/shard", 0, 105_000)]) == [FILES["test/shard"]]


def test_a_replaced_object_is_another_one(tmp_path: Path, s3: S3Server) -> None:
    client = s3.client("cached")
    for data in (b"old" * 9000, b"new" * 9000):
        obstore.put(client, "changing", data)
        assert open_cached(tmp_path).read_ranges([ByteRange("changing", 0, 27_000)]) == [data]


def test_equal_base_names_are_two_objects(tmp_path: Path) -> None:
    store = open_cached(tmp_path)
    ranges = [ByteRange("train/shard", 0, 1000), ByteRange("test/shard", 0, 1000)]
    assert store.read_ranges(ranges) == expected(ranges) == store.read_ranges(ranges)


def test_it_stays_small_and_the_least_recently_used_gives_way(tmp_path: Path) -> None:
    store = open_cached(tmp_path, 6 * BLOCK)
    store.read_ranges([ByteRange("train/shard", 0, 4 * BLOCK)])
    assert len(kept(tmp_path)) == 4
    for path in kept(tmp_path):
        os.utime(path, (time.time() - 1000, time.time() - 1000))
    store.read_ranges([ByteRange("train/shard", 2 * BLOCK, 2 * BLOCK + 5)])
    store.read_ranges([ByteRange("test/shard", 0, 3 * BLOCK)])
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= 6 * BLOCK
    before = store.traffic.bytes
    store.read_ranges([ByteRange("train/shard", 2 * BLOCK, 3 * BLOCK)])
    assert store.traffic.bytes == before
    for number in (0, 1, 3):
        store.read_ranges([ByteRange("train/shard", number * BLOCK, (number + 1) * BLOCK)])
    assert store.traffic.bytes >= before + 2 * BLOCK


def test_one_without_room_passes_through(tmp_path: Path) -> None:
    ranges = draw_ranges(2, 40)
    store = open_cached(tmp_path, 1000)
    assert store.read_ranges(ranges) == expected(ranges) == store.read_ranges(ranges)
    assert kept(tmp_path) == []


def _read(folder: Path, seed: int) -> bool:
    store = open_cached(folder, 12 * BLOCK)
    for number in range(6):
        ranges = draw_ranges(100 * seed + number, 25)
        if store.read_ranges(ranges) != expected(ranges):
            return False
        with store.stream("train/shard", 0, 105_000) as file:
            if file.read() != FILES["train/shard"]:
                return False
    return True


def test_processes_share_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.starmap(_read, [(tmp_path, seed) for seed in range(4)]) == [True] * 4
    size = sum(path.stat().st_size for path in kept(tmp_path))
    assert 0 < size <= 12 * BLOCK and int((tmp_path / "used").read_text()) == size
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nothing_is_left_by_a_fault_or_a_kill(tmp_path: Path, proxy: FaultyProxy) -> None:
    store = open_cached(tmp_path, 6 * BLOCK)
    store.size("train/shard")
    proxy.reset(lambda request: Fault("fin", 25_000) if request.number == 0 else Fault("status"))
    with pytest.raises(StoreUnreachableError), store.stream("train/shard", 0, 105_000) as file:
        file.read()
    assert len(kept(tmp_path)) == 2 and list((tmp_path / "tmp").iterdir()) == []
    stale = tmp_path / "tmp" / "of-a-killed-process"
    stale.write_bytes(bytes(100))
    os.utime(stale, (time.time() - 3600, time.time() - 3600))
    proxy.reset(lambda request: None)
    ranges = draw_ranges(3, 40)
    assert store.read_ranges(ranges) == expected(ranges)
    assert not stale.exists()


def test_a_folder_that_cannot_be_written_does_not_stop_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_cached(tmp_path / "file")
    ranges = draw_ranges(4, 10)
    assert store.read_ranges(ranges) == expected(ranges)
    assert "keeps nothing" in caplog.text


def test_a_cache_changes_no_error(tmp_path: Path) -> None:
    store: Store = open_store("s3://cached", cache=Cache(tmp_path, 10**9))
    with pytest.raises(ShardTruncatedError, match="train/shard has 105000 bytes"):
        store.read_ranges([ByteRange("train/shard", 104_000, 106_000)])
    with pytest.raises(ShardTruncatedError, match="train/shard has 105000 bytes"):
        with store.stream("train/shard", 0, 106_000):
            pass
    assert store.read("train/shard", 1 << 20) == FILES["train/shard"] and store.size("train/shard") == 105_000
    assert list(store.list("")) == sorted([*FILES, *(["changing"] if "changing" in store.list("") else [])])
