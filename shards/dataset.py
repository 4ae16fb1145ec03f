"""A dataset, read from its index."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from .format import sound_codec
from .format.clip import MEMBERS, Clip
from .index.clip_table import Table, read_tables
from .index.facts import require_dataset
from .index.layout import ShardName
from .index.ledger import iter_ledger
from .index.record import ShardEntry, ShardRecord
from .index.shard_list import iter_records, read_manifest
from .store import ByteRange, Root
from .stores.open import open_store


@dataclass(frozen=True, slots=True, eq=False)
class ClipEntry:
    """A clip as the index knows it; `Dataset.read` reads it, a store's `read_ranges` reads parts of it."""

    shard: ShardEntry
    table: Table
    row: int

    @property
    def key(self) -> str:
        """The clip's key, unique over the dataset."""
        return self.table.text("key", self.row)

    @property
    def video(self) -> str:
        """Identity of its source video."""
        return self.table.text("video", self.row)

    @property
    def label(self) -> str:
        """Its class; "" where unknown."""
        return self.table.text("label", self.row)

    @property
    def frame_times(self) -> NDArray[np.int64]:
        """Presentation times of its frames, microseconds from its time 0."""
        first, stop = self.table.frame_rows[self.row : self.row + 2]
        return self.table.frame_time[first:stop]

    def member(self, suffix: str) -> ByteRange:
        """Return where the content of `json`, `wav` or `mjpg` lies."""
        return ByteRange(self.shard.path, *self.table.member(self.row, suffix))

    def frame(self, number: int) -> ByteRange:
        """Return where a frame's JPEG lies. Raises IndexError where there is none."""
        first, stop = (int(row) for row in self.table.frame_rows[self.row : self.row + 2])
        if not 0 <= number < stop - first:
            raise IndexError(f"clip {self.key} has {stop - first} frames; there is no frame {number}")
        edge = first + self.row + number  # a clip has one edge more than frames
        start, end = (int(offset) for offset in self.table["frame_offsets"][edge : edge + 2])
        path, base, _ = self.member("mjpg")
        return ByteRange(path, base + start, base + end)

    def samples(self, start: int, stop: int) -> ByteRange:
        """Return where the samples [start, stop) lie, for `sound_codec.decode`. Raises IndexError where they do not."""
        count, channels = (int(self.table[name][self.row]) for name in ("sample_count", "channels"))
        if not 0 <= start <= stop <= count:
            raise IndexError(f"clip {self.key} has {count} samples; there are no [{start}, {stop})")
        path, base, _ = self.member(sound_codec.SUFFIX)
        first, last = sound_codec.locate(start, stop, channels)
        return ByteRange(path, base + first, base + last)


class Dataset:
    """A dataset, as its index describes it.

        dataset = Dataset("ROOT")
        dataset.facts.settings, dataset.splits, dataset.shards
        clips = dataset.clips(splits=["train"])
        len(clips), clips[5].key, clips[5].frame(3)  # by number, in the order of the shards
        first, second = clips.find(["vaQ9-x_000030", "vb72k_000010"])  # by key
        whole = dataset.read([first, second])

    Args:
        root: where the dataset lies: a folder, the URL of a store, or an open store. Only its index has to be there
            until clips are read.
        unfinished: take a dataset whose sharding goes on, with the shards that are complete so far.

    Attributes:
        store: the open store.
        facts: what `dataset.json` says: settings, version, number of inputs.
        shards: the shards that hold clips, by split and number.

    Raises:
        DatasetMismatchError: when `root` is no dataset, is not finished, or has another format.
        ShardFormatError: when the index is damaged.
        StoreError: when the store cannot be read.
    """

    def __init__(self, root: Root, *, unfinished: bool = False) -> None:
        self.store = open_store(root)
        self.facts = require_dataset(self.store)
        self.shards: tuple[ShardEntry, ...]
        if unfinished:
            self.shards = tuple(record for record in self.records if record.clips)
        else:
            self.shards = read_manifest(self.store).shards

    @cached_property
    def records(self) -> tuple[ShardRecord, ...]:
        """What the index says of every complete shard, also of those whose inputs all failed. Raises as the class."""
        return tuple(iter_records(self.store))

    def ledger(self) -> Iterator[Mapping[str, Any]]:
        """Yield what became of each input, one in memory; nothing before the sharding has come to its end."""
        try:
            yield from iter_ledger(self.store)
        except MissingObjectError:
            return

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that hold clips, sorted."""
        return tuple(sorted({shard.split for shard in self.shards}))

    def of_split(self, split: str) -> tuple[ShardEntry, ...]:
        """Return the shards of a split. Raises DatasetMismatchError, naming the splits that exist, where none is."""
        shards = tuple(shard for shard in self.shards if shard.split == split)
        if not shards:
            have = ", ".join(self.splits) or "none at all"
            raise DatasetMismatchError(f"{self.store.url} has no clips in the split {split!r}; it has {have}")
        return shards

    def clips(self, *, splits: Collection[str] = (), shards: Collection[str] = ()) -> "Clips":
        """Return the clips of some shards; nothing is read yet.

        Args:
            splits: only these; empty: all.
            shards: only these, as `train-000000` or by the path or the base name of the tar; empty: all.

        Raises:
            DatasetMismatchError: where there is no such split or shard.
        """
        chosen = [entry for split in sorted(set(splits or self.splits)) for entry in self.of_split(split)]
        for shard in sorted(set(shards)):
            if not any(shard in _names(entry) for entry in self.shards):
                example = ShardName.parse(self.shards[0].path).stem if self.shards else "none"
                raise DatasetMismatchError(
                    f"{self.store.url} has no shard {shard!r}; it has {len(self.shards)}, such as {example}"
                )
        return Clips(self, [entry for entry in chosen if not shards or set(shards) & _names(entry)])

    def tables(self, shards: Iterable[ShardEntry], *columns: str) -> Iterator[Table]:
        """Yield the tables of shards, many in flight.

        Args:
            shards: of this dataset.
            columns: the names of those that are needed; none: all.

        Raises:
            ShardFormatError: where one is missing, damaged, or not that of its shard.
            StoreError: when the store cannot be read.
        """
        return read_tables(self.store, tuple(shards), *columns)

    def read(self, clips: Iterable[ClipEntry]) -> list[Clip]:
        """Read whole clips, many in flight.

        Raises:
            ShardFormatError: where something else lies than the index says.
            ShardError: where a shard is short, altered or gone.
        """
        clips = tuple(clips)
        data = iter(self.store.read_ranges([clip.member(suffix) for clip in clips for suffix in MEMBERS]))
        found = []
        for entry, metadata, wav, mjpg in zip(clips, data, data, data, strict=True):
            try:
                found.append(Clip.read(metadata, wav, mjpg, entry.key))
            except ShardFormatError as error:
                where = f"{self.store.url}/{entry.shard.path}"
                raise ShardFormatError(f"{where}: {error}; avcorr verify --full says what else is wrong") from error
        return found


class Clips:
    """The clips of some shards of a dataset, numbered from 0 in the order of the shards; `Dataset.clips` makes it.

    A shard's table is read when one of its clips is first asked for, and kept. Iteration and `texts` keep nothing.
    """

    def __init__(self, dataset: Dataset, shards: Sequence[ShardEntry]) -> None:
        self._dataset, self._shards = dataset, shards
        self._ends = np.cumsum([0, *(shard.clips for shard in shards)])
        self._tables: dict[int, Table] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> ClipEntry:
        """Return a clip by its number. Raises IndexError where there is none."""
        return self.take([number])[0]

    def __iter__(self) -> Iterator[ClipEntry]:
        for shard, table in zip(self._shards, self._dataset.tables(self._shards), strict=True):
            for row in range(shard.clips):
                yield ClipEntry(shard, table, row)

    def take(self, numbers: Sequence[int]) -> list[ClipEntry]:
        """Return clips by their numbers, the tables of their shards read at once. Raises IndexError where none is."""
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"there is no clip {number}: {self._dataset.store.url} has {len(self)} here")
        places = (np.searchsorted(self._ends, numbers, side="right") - 1).tolist()
        lacking = sorted(set(places) - self._tables.keys())
        tables = self._dataset.tables(self._shards[place] for place in lacking)
        self._tables.update(zip(lacking, tables, strict=True))
        return [
            ClipEntry(self._shards[place], self._tables[place], number - int(self._ends[place]))
            for place, number in zip(places, numbers, strict=True)
        ]

    def texts(self, name: str) -> list[str]:
        """Return a column of texts of all clips, such as `key` or `label`."""
        return [text for table in self._dataset.tables(self._shards, name) for text in table.texts(name)]

    def find(self, keys: Sequence[str]) -> list[ClipEntry]:
        """Return clips by their keys, in that order. Raises DatasetMismatchError where one is not there."""
        numbers = {key: number for number, key in enumerate(self.texts("key"))}
        for key in keys:
            if key not in numbers:
                url = self._dataset.store.url
                raise DatasetMismatchError(f"{url} has no clip with the key {key!r}; avcorr info says what it has")
        return self.take([numbers[key] for key in keys])


def _names(entry: ShardEntry) -> set[str]:
    name = ShardName.parse(entry.path)
    return {name.stem, name.path, PurePath(name.path).name}
