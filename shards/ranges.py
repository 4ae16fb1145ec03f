"""From a clip's number to the bytes of one frame or of one second of its sound, over all shards of a split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from .index.clip_table import Table
from .index.manifest import read_manifest
from .store import ByteRange, Root
from .stores.open import open_store

__all__ = ["ByteRange", "ClipIndex"]


class ClipIndex:
    """The clips of one split, numbered in the order of the shards; a shard's table are read when first needed.

    Args:
        root: where the dataset lies; only `.avcorr/` has to be there.
        split: which clips.

    Raises:
        DatasetMismatchError: when the dataset is not finished, or has no such split.
        ShardFormatError: when the index is damaged; reading a clip raises it too, for the shard's table.
    """

    def __init__(self, root: Root, split: str) -> None:
        self.store = open_store(root)
        entries = read_manifest(self.store)
        self._entries = tuple(entry for entry in entries if entry.split == split)
        if not self._entries:
            have = ", ".join(sorted({entry.split for entry in entries})) or "none at all"
            raise DatasetMismatchError(f"{self.store.url} has no clips in the split {split!r}; it has {have}")
        self._ends = np.cumsum([entry.clips for entry in self._entries])
        self._tables: dict[int, Table] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def load(self) -> None:
        """Read the table of all shards now, many in flight; else each is read when it is first needed."""
        self._read([number for number in range(len(self._entries)) if number not in self._tables])

    def locate(self, clip: int) -> tuple[str, Table, int]:
        """Return the shard's path under the root, its table and the clip's row in them.

        Raises:
            IndexError: where there is no such clip.
        """
        if not 0 <= clip < len(self):
            raise IndexError(f"{self.store.url} has {len(self)} clips in this split; there is no clip {clip}")
        number = int(np.searchsorted(self._ends, clip, side="right"))
        entry = self._entries[number]
        if number not in self._tables:
            self._read([number])
        return entry.path, self._tables[number], clip - int(self._ends[number]) + entry.clips

    def _read(self, numbers: Sequence[int]) -> None:
        """Read the table of some shards."""
        entries = [self._entries[number] for number in numbers]
        try:
            for number, entry, data in zip(
                numbers, entries, self.store.read_all(entry.table for entry in entries), strict=True
            ):
                table = Table(f"{self.store.url}/{entry.table}", entry.table_sha256, data)
                if table.clips != entry.clips:
                    raise ShardFormatError(f"{entry.table} has {table.clips} clips; the index says {entry.clips}")
                self._tables[number] = table
        except MissingObjectError as error:
            raise ShardFormatError(f"table are missing ({error}); make them again with: avcorr repair") from error

    def frame(self, clip: int, frame: int) -> ByteRange:
        """Return where a frame's JPEG lies. Raises IndexError where there is none."""
        path, table, row = self.locate(clip)
        return ByteRange(path, *table.frame(row, frame))

    def samples(self, clip: int, start: int, stop: int) -> ByteRange:
        """Return where the samples [start, stop) lie, little-endian int16. Raises IndexError where they do not."""
        path, table, row = self.locate(clip)
        return ByteRange(path, *table.samples(row, start, stop))

    def frame_times(self, clip: int) -> NDArray[np.int64]:
        """Return the presentation times of a clip's frames, microseconds from its time 0."""
        _, table, row = self.locate(clip)
        return table.frame_times(row)

    def text(self, clip: int, name: str) -> str:
        """Return `key`, `video` or `label` of a clip."""
        _, table, row = self.locate(clip)
        return table.text(name, row)
