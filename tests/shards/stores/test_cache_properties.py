"""The cache, for any files in any order: never above its limit, never a wrong byte, the oldest goes first."""

import os
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.shards.stores.cache import Cache

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
