"""A network and a server that fail: nothing is lost and nothing comes twice, or an error says so."""

import hashlib
import os
import random
import threading
import time
from itertools import pairwise

import obstore
import pytest

from avcorr.shards.errors import ObjectChangedError, StoreAccessError, StoreError, StoreUnreachableError
from avcorr.shards.store import ByteRange, Store
from avcorr.shards.stores.open import open_store
from tests.support.faults import DATA, POLICY, SIZE, first
from tests.support.proxy import Fault, FaultyProxy, Request
from tests.support.servers import S3Server

BUCKET = "faults"


def read_in_pieces(store: Store, draw: random.Random) -> str:
    """Read the object through a stream in pieces of many sizes; return its checksum."""
    digest = hashlib.sha256()
    with store.stream("shard", 0, SIZE) as file:
        while data := file.read(draw.choice([512, 10_000, 700_000])):
            digest.update(data)
    return digest.hexdigest()


WHOLE = hashlib.sha256(DATA).hexdigest()


def test_a_hundred_reads_through_cuts_lose_and_repeat_nothing(store: Store, proxy: FaultyProxy) -> None:
    for number in range(100):
        draw = random.Random(number)

        def cut(request: Request, draw: random.Random = draw) -> Fault | None:
            after = draw.choice([0, 1, 512, draw.randrange(SIZE), SIZE - 1, SIZE])
            return Fault(draw.choice(["fin", "rst"]), after) if request.number < 4 else None

        proxy.reset(cut)
        assert read_in_pieces(store, draw) == WHOLE, number
        starts = [int(request.headers["range"][6:].partition("-")[0]) for request in proxy.requests]
        assert all(earlier <= later for earlier, later in pairwise(starts))
        assert all("if-match" in request.headers for request in proxy.requests[1:])
    assert store.traffic.retries > 200
    assert store.traffic.bytes == 100 * SIZE


def test_every_connection_may_break_if_it_gives_enough(store: Store, proxy: FaultyProxy) -> None:
    proxy.reset(lambda request: Fault("fin", 1_200_000))
    assert read_in_pieces(store, random.Random(0)) == WHOLE
    assert len(proxy.requests) == 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", text="503 Slow Down", body="<Error><Code>SlowDown</Code></Error>"),
        Fault("status", text="500 Internal Server Error"),
        Fault("status", text="429 Too Many Requests"),
        Fault("stall", 300_000, seconds=30),
        Fault("late", seconds=1),
        Fault("rst", 0),
    ],
    ids=lambda fault: f"{fault.kind}{fault.text[:3]}",
)
def test_a_fault_that_passes_is_outlived(store: Store, proxy: FaultyProxy, fault: Fault) -> None:
    pieces = [ByteRange("shard", start, start + 1000) for start in range(0, SIZE, 1_500_000)]
    reads = {
        "stream": lambda: read_in_pieces(store, random.Random(0)) == WHOLE,
        "read": lambda: store.read("shard", 1 << 23) == DATA,
        "ranges": lambda: store.read_ranges(pieces) == [DATA[piece.start : piece.stop] for piece in pieces],
        "size": lambda: store.size("shard") == SIZE,
        "list": lambda: list(store.list("")) == ["shard"],
    }
    for name, read in reads.items():
        proxy.reset(first(fault))
        began = time.monotonic()
        assert read(), name
        assert time.monotonic() - began < 20, name
    assert store.traffic.retries >= 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status"),
        Fault("fin", 1000),
        Fault("rst", 0),
        Fault("stall", 1000, seconds=30),
        Fault("late", seconds=2),
        Fault("trickle", 1000),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_fault_that_stays_is_told_in_time(store: Store, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.reset(lambda request: fault)
    began = time.monotonic()
    with pytest.raises(StoreUnreachableError, match=r"gave up after 5 attempts: s3://faults/shard") as caught:
        read_in_pieces(store, random.Random(0))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 25
    assert len(proxy.requests) == 5


def test_an_error_page_is_not_taken_for_data(store: Store, proxy: FaultyProxy) -> None:
    page = Fault("status", text="200 OK", body="<html>sign in</html>")
    proxy.reset(lambda request: page)
    for read in (
        lambda: store.read_ranges([ByteRange("shard", 0, 20)]),
        lambda: read_in_pieces(store, random.Random()),
    ):
        with pytest.raises(StoreError):
            read()


def test_an_object_that_is_replaced_while_it_is_read_raises(store: Store, proxy: FaultyProxy, s3: S3Server) -> None:
    client = s3.client("faults")
    for other in (DATA[::-1], DATA[:-5], b"short"):
        obstore.put(client, "replaced", DATA)
        proxy.reset(first(Fault("fin", 500_000)))
        fresh = open_store("s3://faults", retry=POLICY)
        with pytest.raises(ObjectChangedError, match="was replaced"), fresh.stream("replaced", 0, SIZE) as file:
            file.read(1000)
            obstore.put(client, "replaced", other)
            file.read()
        with pytest.raises(ObjectChangedError, match="was replaced"):
            fresh.read_ranges([ByteRange("replaced", 0, 3)])


def test_an_expired_token_is_renewed_where_it_broke_off(
    store: Store, proxy: FaultyProxy, s3: S3Server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys lie in a file that is renewed from outside, as tools for temporary keys do."""
    expired = Fault("status", text="400 Bad Request", body="<Error><Code>ExpiredToken</Code></Error>")
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id=OLD\naws_secret_access_key=OLD\n")
    good = "[default]\naws_access_key_id=AKTEST\naws_secret_access_key=SKTESTSECRET\n"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    def renew(request: Request) -> Fault | None:
        if "OLD" in request.headers["authorization"]:
            path.write_text(good)
            return expired
        return Fault("fin", 2_000_000) if request.number == 1 else None

    proxy.reset(renew)
    assert read_in_pieces(store, random.Random(0)) == WHOLE
    assert len(proxy.requests) == 3
    proxy.reset(lambda request: expired)
    with pytest.raises(StoreAccessError, match="have expired"):
        store.read("shard", 1 << 23)


def test_many_requests_are_in_flight(store: Store, proxy: FaultyProxy, s3: S3Server) -> None:
    """Forty answers that come 0.3 s late, asked for with close ones among them, take much less than twelve seconds."""
    client = s3.client("faults")
    for number in range(40):
        obstore.put(client, f"many/{number}", DATA[number : number + 1000])
    proxy.reset(lambda request: Fault("late", seconds=0.3))
    ranges = [ByteRange(f"many/{n}", start, start + 50) for start in (0, 700, 20) for n in range(40)]
    began = time.monotonic()
    assert store.read_ranges(ranges) == [DATA[int(p.path[5:]) :][p.start : p.stop] for p in ranges]
    assert time.monotonic() - began < 10
    assert len(proxy.requests) == 40


def test_no_thread_or_connection_is_left(store: Store, proxy: FaultyProxy) -> None:
    """Streams that are left early let go of their connections."""
    proxy.reset(lambda request: None)
    store.read("shard", 1 << 23)
    before, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with store.stream("shard", 0, SIZE) as file:
            file.read(1000)
    end = time.monotonic() + 5
    while _too_many(before, files) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _too_many(before, files)


def _too_many(threads: int, files: int) -> bool:
    """Return whether there are more than were; the proxy, which runs in this process, may be closing a few."""
    return threading.active_count() > threads + 3 or len(os.listdir("/proc/self/fd")) > files + 3
