"""Hold the columns of a shard's table against the format and against each other: nothing is believed for its checksum.

Whole columns at once, and only those that were read. A reader of some gets their companions too, so that it refuses
what `verify` refuses of them.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..format import sound_codec
from ..format.clip import CLIPPED_SHARE, FLAGS, KEY_PATTERN, MEMBERS, MOST_METADATA_BYTES, UNEVEN_SECONDS, ClipMetadata
from ..format.jpeg import MOST_BYTES, MOST_PIXELS
from ..format.tar import BLOCK
from .record import ShardEntry

if TYPE_CHECKING:
    from .clip_table import Table

_OFFSETS, _SIZES = (tuple(f"{suffix}_{what}" for suffix in MEMBERS) for what in ("offset", "size"))
_PLACES = {*_OFFSETS, *_SIZES, "sample_rate", "sample_count", "channels", "frame_times", "frame_offsets"}
_FLAGS = {"flags", "still", "silent", "clipped", "short", "length_difference", "changed", "damaged"}
_FINITE = float(np.finfo(np.float64).max)
_LISTS = {"labels", "frame_times", "frame_offsets"}

_LABELS, _SIDES = {"label", "labels"}, {"width", "height"}
_TOGETHER = (_PLACES | {"duration"}, _PLACES), (_FLAGS, _FLAGS), (_LABELS, _LABELS), (_SIDES, _SIDES)
"""Columns of which one is not read without its companions, and those."""


def with_companions(names: Iterable[str]) -> set[str]:
    """Return some columns with those that they are to be checked with."""
    wanted = {*names}
    for some, companions in _TOGETHER:
        if wanted & some:
            wanted |= companions
    return wanted


def check_table(table: "Table", shard: ShardEntry) -> None:
    """Check the columns that were read of a shard's table, which has a row a clip. Raises ValueError, naming one."""
    names = set(table.arrow.column_names)
    _check_ranges(table, names)
    if names >= _PLACES:
        _check_members(table, shard)
        _check_sounds(table)
        _check_frames(table, shard)
    if names >= _SIDES:
        _demand(table["width"] * table["height"] <= MOST_PIXELS, "height", f"makes more than {MOST_PIXELS} pixels")
    if names >= _FLAGS:
        _check_flags(table)
    if names >= _LABELS:
        rows = zip(table.texts("label"), table.texts("labels"), strict=True)
        _demand(np.array([label == labels[0] for label, labels in rows]), "label", "is not the first of its labels")
    if "split" in names:
        _demand(np.array([split == shard.split for split in table.texts("split")]), "split", f"is not {shard.split!r}")
    if "key" in names:
        keys = table.texts("key")
        _demand(np.array([bool(KEY_PATTERN.fullmatch(key)) for key in keys]), "key", "breaks the grammar")
        if len({key.lower() for key in keys}) < len(keys):
            raise ValueError("key: one stands twice")


def _demand(holds: NDArray[np.bool_], column: str, what: str) -> None:
    """Raise ValueError, with the first row in which something does not hold."""
    if not holds.all():
        raise ValueError(f"{column}: {what}, in row {int(np.argmin(holds))} for one")


@cache
def _limits() -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    """Return the least and the largest value of each column of numbers, and how long texts are, as a clip has them."""
    numbers = {name: (1.0, 2.0**62) for name in _OFFSETS} | {name: (1.0, 2.0**32 - 1) for name in _SIZES}
    numbers[_SIZES[0]] = 1.0, MOST_METADATA_BYTES
    texts: dict[str, int] = {}
    for name, described in TypeAdapter(ClipMetadata).json_schema()["properties"].items():
        described = described.get("items", described)
        if described["type"] in ("integer", "number"):  # pydantic names limits behind a validator by its own words
            least, most = described.get("minimum", described.get("ge")), described.get("maximum", described.get("le"))
            numbers[name] = -_FINITE if least is None else least, _FINITE if most is None else most
        elif described["type"] == "string":
            texts[name] = described["maxLength"]
    return numbers, texts


def _check_ranges(table: "Table", names: set[str]) -> None:
    numbers, texts = _limits()
    wanted = [name for name in numbers if name in names]
    single = [name for name in wanted if name not in _LISTS]
    if single:
        values = np.array([table[name] for name in single], np.float64)  # one array: 30 small ones take 5 times as long
        least, most = values.min(axis=1), values.max(axis=1)
    for place, name in enumerate(single):
        _demand_within(least[place], most[place], name)
    for name in (name for name in wanted if name in _LISTS):
        _demand_within(table[name].min(initial=0), table[name].max(initial=0), name)
    if "labels" in names:
        _demand(table.lengths("labels") > 0, "labels", "is empty")
    for name in names & texts.keys():
        if table.arrow[name].nbytes > texts[name]:  # else none can be too long
            column = table.arrow[name].combine_chunks()
            found = column.flatten() if name in _LISTS else column
            if max(map(len, found.to_pylist())) > texts[name]:
                raise ValueError(f"{name}: is longer than {texts[name]} characters")


def _demand_within(least: float, most: float, name: str) -> None:
    """Raise ValueError where the least or the largest value of a column is not within its limits, or is none."""
    low, high = _limits()[0][name]
    if not (least >= low and most <= high):  # so that NaN does not pass
        raise ValueError(f"{name}: is not within {low:g} and {high:g} everywhere")


def _check_members(table: "Table", shard: ShardEntry) -> None:
    """Check that the members lie one behind the other, from the shard's first block to its closing ones."""
    offsets, sizes = (np.stack([table[name] for name in names], axis=1) for names in (_OFFSETS, _SIZES))
    first, size = offsets.ravel(), sizes.ravel()
    if first.max() > shard.size:  # before any sum
        raise ValueError(f"{_OFFSETS[int(offsets.max(axis=0).argmax())]}: lies outside the shard's {shard.size} bytes")
    end = first + size + -size % BLOCK
    for column, name in enumerate(_OFFSETS):
        before = np.concatenate([[0], end[:-1]]).reshape(-1, 3)[:, column]
        _demand(offsets[:, column] == before + BLOCK, name, "is not where the member before it ends")
    if end[-1] + 2 * BLOCK > shard.size:
        raise ValueError(f"mjpg_size: the last member ends at {end[-1]}, the shard at {shard.size}")


def _check_sounds(table: "Table") -> None:
    count: NDArray[np.int64] = table["sample_count"]
    rate, channels = table["sample_rate"], table["channels"]
    _, size = sound_codec.locate(0 * count, count, channels)
    _demand(table[f"{sound_codec.SUFFIX}_size"] == size, "sample_count", "is not what the sound's size says")
    if "duration" in table.arrow.column_names:
        _demand(table["duration"] == count / rate, "duration", "is not sample_count / sample_rate")


def _check_frames(table: "Table", shard: ShardEntry) -> None:
    rows, times = table.frame_rows, table["frame_times"]
    frames = np.diff(rows)
    _demand(frames > 0, "frame_times", "is empty")
    if len(times) != shard.frames:
        raise ValueError(f"frame_times: has {len(times)} frames; the index says {shard.frames}")
    _demand(table.lengths("frame_offsets") == frames + 1, "frame_offsets", "is not one longer than frame_times")
    _demand_rising(times, rows, "frame_times")
    _demand(times[rows[:-1]] >= 0, "frame_times", "begins before 0")
    offsets, edges = table["frame_offsets"], rows + np.arange(len(rows))
    _demand_rising(offsets, edges, "frame_offsets")
    _demand(offsets[edges[:-1]] == 0, "frame_offsets", "does not begin with 0")
    _demand(offsets[edges[1:] - 1] == table["mjpg_size"], "frame_offsets", "does not end with mjpg_size")
    if np.diff(offsets).max() > MOST_BYTES:
        raise ValueError(f"frame_offsets: has a frame of more than {MOST_BYTES} bytes")


def _demand_rising(values: NDArray[Any], rows: NDArray[np.int64], column: str) -> None:
    """Raise ValueError where values do not rise within their row; `rows` has the edges, (n + 1,)."""
    rises = np.diff(values) > 0
    rises[rows[1:-1] - 1] = True  # from one row to the next
    if not rises.all():
        row = int(np.searchsorted(rows, np.argmin(rises), side="right")) - 1
        raise ValueError(f"{column}: does not rise, in row {row} for one")


def _check_flags(table: "Table") -> None:
    found: dict[str, Any] = {name: table[name] for name in _FLAGS & {*FLAGS}}
    found["clipped"] = table["clipped"] > CLIPPED_SHARE
    found["uneven"] = np.abs(table["length_difference"]) > UNEVEN_SECONDS
    wanted = np.stack([found[name] for name in FLAGS], axis=1).tolist()
    holds = [
        flags == [name for name, set_ in zip(FLAGS, row, strict=True) if set_]
        for flags, row in zip(table.texts("flags"), wanted, strict=True)
    ]
    _demand(np.array(holds), "flags", "are not those that the other columns give")
