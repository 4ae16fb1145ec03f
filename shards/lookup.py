"""From a clip's key to the clip, and a choice of clips to look at; only table and the clips themselves are read."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

from .errors import DatasetMismatchError, ShardFormatError
from .format.clip import MEMBERS, Clip, ClipMetadata
from .index.clip_table import Table
from .index.manifest import ShardEntry, read_manifest
from .store import ByteRange, Store


class Place(NamedTuple):
    """Where a clip lies, and what the index says of it."""

    entry: ShardEntry
    table: Table
    row: int
    key: str
    label: str


def iter_places(store: Store, *, splits: Collection[str] = (), shards: Collection[str] = ()) -> Iterator[Place]:
    """Yield all clips in the order of the shards.

    Args:
        store: the dataset.
        splits: only these; empty: all.
        shards: only these, as `train-000000` or by the path or the base name of the tar; empty: all.

    Raises:
        DatasetMismatchError: where there is no such split or shard.
        ShardFormatError: when the index is damaged.
    """
    entries = read_manifest(store)
    for split in sorted(set(splits) - {entry.split for entry in entries}):
        have = ", ".join(sorted({entry.split for entry in entries})) or "none at all"
        raise DatasetMismatchError(f"{store.url} has no clips in the split {split!r}; it has {have}")
    for shard in sorted(set(shards)):
        if not any(shard in _names(entry) for entry in entries):
            example = PurePath(entries[0].table).stem if entries else "none"
            raise DatasetMismatchError(f"{store.url} has no shard {shard!r}; it has {len(entries)}, such as {example}")
    wanted = [
        entry for entry in entries
        if (not splits or entry.split in splits) and (not shards or set(shards) & _names(entry))
    ]  # fmt: skip
    for entry, data in zip(wanted, store.read_all(entry.table for entry in wanted), strict=True):
        table = Table(f"{store.url}/{entry.table}", entry.table_sha256, data)
        for row in range(table.clips):
            yield Place(entry, table, row, table.text("key", row), table.text("label", row))


def _names(entry: ShardEntry) -> set[str]:
    return {PurePath(entry.table).stem, entry.path, PurePath(entry.path).name}


def find_clips(store: Store, keys: Sequence[str], *, shards: Collection[str] = ()) -> list[Place]:
    """Return where clips lie, in the order of their keys. Raises DatasetMismatchError where one is not there."""
    found: dict[str, Place] = {}
    wanted = set(keys)
    for place in iter_places(store, shards=shards):
        if place.key in wanted:
            found[place.key] = place
            if len(found) == len(wanted):
                break
    for key in keys:
        if key not in found:
            raise DatasetMismatchError(f"{store.url} has no clip with the key {key!r}; avcorr info says what it has")
    return [found[key] for key in keys]


def choose_clips(places: Iterator[Place], count: int, labels: Collection[str] = ()) -> list[Place]:
    """Return about `count` clips that show as many classes as can be, each class spread over the dataset.

    Args:
        places: of all clips.
        count: how many at most.
        labels: only these; empty: all.

    Raises:
        DatasetMismatchError: where no clip has one of the labels.
    """
    by_label: dict[str, list[Place]] = {}
    for place in places:
        by_label.setdefault(place.label, []).append(place)
    for label in sorted(set(labels) - by_label.keys()):
        raise DatasetMismatchError(f"no clip has the label {label!r}; there are {len(by_label)} others")
    kinds = [by_label[label] for label in sorted(labels or by_label)]
    shares = [count // len(kinds) + (number < count % len(kinds)) for number in range(len(kinds))]
    chosen = [
        clips[position * len(clips) // min(share, len(clips))]
        for clips, share in zip(kinds, shares, strict=True)
        for position in range(min(share, len(clips)))
    ]
    return chosen


def read_clips_at(store: Store, places: Sequence[Place]) -> list[Clip]:
    """Read clips, many in flight.

    Raises:
        ShardFormatError: where something else lies than the index says.
        ShardError: where a shard is short, altered or gone.
    """
    ranges = [
        ByteRange(place.entry.path, *place.table.member(place.row, suffix)) for place in places for suffix in MEMBERS
    ]
    data = iter(store.read_ranges(ranges))
    clips = []
    for place, metadata, wav, mjpg in zip(places, data, data, data, strict=True):
        clip = Clip(ClipMetadata.from_json(metadata), wav, mjpg)
        if clip.key != place.key:
            raise ShardFormatError(f"{store.url}/{place.entry.path} holds {clip.key} where {place.key} should be")
        clips.append(clip)
    return clips
