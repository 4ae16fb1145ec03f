"""The cache, for any files in any order: never above its limit, never a wrong byte, the oldest goes first."""

import os
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.shards.store import ByteRange
from avcorr.shards.stores.cache import Cache
from avcorr.shards.stores.cached_store import CachedStore
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.stores.range_reader import Version

LIMIT = 1000
KEYS = [f"{number:02x}{'0' * 30}" for number in range(12)]
STEPS = st.lists(st.tuples(st.sampled_from(["keep", "read", "forget"]), st.integers(0, 11)), max_size=40)


def data_of(number: int) -> bytes:
    """Return the one content of a key; some are too large to be kept."""
    return bytes([number]) * (number * 83 + 1)


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("??/*"))


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_cache_keeps_its_limit_and_its_bytes(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        cache = Cache(Path(name), LIMIT)
        for step, number in steps:
            data = data_of(number)
            if step == "keep":
                cache.keep(KEYS[number], data)
                assert cache.has(KEYS[number]) == (len(data) <= LIMIT * 0.9)
            elif step == "forget":  # the note of how much is used, as a crash may leave it
                (Path(name) / "used").unlink(missing_ok=True)
            else:
                found = cache.read(KEYS[number], 0, len(data))
                assert found == (data if cache.has(KEYS[number]) else None)
            assert stored_bytes(Path(name)) <= LIMIT
        assert not list(Path(name).glob("tmp/*"))


CONTENTS = {f"{split}/shard": random.Random(split).randbytes(2050) for split in ("train", "test")}
PIECES = st.builds(
    lambda path, ends: ByteRange(path, *sorted(ends)),
    st.sampled_from(sorted(CONTENTS)),
    st.tuples(st.integers(0, 2050), st.integers(0, 2050)),
)


class Versioned(LocalStore):
    """A folder whose files have versions, as those of a remote store."""

    def version(self, path: str) -> Version:
        return Version(None, datetime(2026, 1, 1, tzinfo=UTC), self.size(path))


@settings(max_examples=30, deadline=None)
@given(
    readings=st.lists(st.tuples(st.booleans(), st.lists(PIECES, min_size=1, max_size=4)), max_size=8),
    limit=st.integers(0, 5000),
    block=st.integers(200, 900),
)
def test_whatever_is_read_through_it_is_what_the_store_has(
    readings: Sequence[tuple[bool, list[ByteRange]]], limit: int, block: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root, folder = Path(name) / "root", Path(name) / "cache"
        for path, data in CONTENTS.items():
            (root / path).parent.mkdir(parents=True)
            (root / path).write_bytes(data)
        store = CachedStore(Versioned(root), Cache(folder, limit), block)
        for streamed, pieces in readings:
            expected = [CONTENTS[piece.path][piece.start : piece.stop] for piece in pieces]
            if streamed:
                found = []
                for piece in pieces:
                    with store.stream(*piece) as file:
                        found.append(file.read())
                        assert stored_bytes(folder) <= limit
            else:
                found = store.read_ranges(pieces)
            assert found == expected and stored_bytes(folder) <= limit


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(6)), size=st.integers(100, 300))
def test_what_was_used_last_stays(order: list[int], size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        cache = Cache(Path(name), LIMIT)
        kept = order[: LIMIT // size]
        for number in kept:
            cache.keep(KEYS[number], bytes(size))
        now = time.time()
        for age, number in enumerate(kept):
            os.utime(Path(name) / KEYS[number][:2] / KEYS[number], (now + age, now + age))
        cache.keep(KEYS[11], bytes(size))
        left = [number for number in kept if cache.has(KEYS[number])]
        assert cache.has(KEYS[11]) and left == kept[len(kept) - len(left) :]
