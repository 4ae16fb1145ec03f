"""From a clip's number to the bytes of one frame or of one second of its sound, over all shards of a split."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Columns
from .errors import DatasetMismatchError, ShardFormatError
from .manifest import read_manifest


class ByteRange(NamedTuple):
    """The bytes [start, stop) of a shard."""

    path: str
    """The shard's path under the root."""
    start: int
    stop: int


class ClipIndex:
    """The clips of one split, numbered in the order of the shards; a shard's columns are read when first needed.

    Args:
        root: the dataset's folder; only `.avcorr/` has to be there, so the shards may lie in an object store.
        split: which clips.

    Raises:
        DatasetMismatchError: when the dataset is not finished, or has no such split.
        ShardFormatError: when the index is damaged; reading a clip raises it too, for the shard's columns.
    """

    def __init__(self, root: Path, split: str) -> None:
        entries = read_manifest(root)
        self._root, self._entries = root, tuple(entry for entry in entries if entry.split == split)
        if not self._entries:
            have = ", ".join(sorted({entry.split for entry in entries})) or "none at all"
            raise DatasetMismatchError(f"{root} has no clips in the split {split!r}; it has {have}")
        self._ends = np.cumsum([entry.clips for entry in self._entries])
        self._columns: dict[int, Columns] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, clip: int) -> tuple[str, Columns, int]:
        """Return the shard's path under the root, its columns and the clip's row in them.

        Raises:
            IndexError: where there is no such clip.
        """
        if not 0 <= clip < len(self):
            raise IndexError(f"{self._root} has {len(self)} clips in this split; there is no clip {clip}")
        number = int(np.searchsorted(self._ends, clip, side="right"))
        entry = self._entries[number]
        if number not in self._columns:
            columns = Columns(self._root / entry.columns, entry.columns_sha256)
            if columns.clips != entry.clips:
                raise ShardFormatError(f"{entry.columns} has {columns.clips} clips; the index says {entry.clips}")
            self._columns[number] = columns
        return entry.path, self._columns[number], clip - int(self._ends[number]) + entry.clips

    def frame(self, clip: int, frame: int) -> ByteRange:
        """Return where a frame's JPEG lies. Raises IndexError where there is none."""
        path, columns, row = self.locate(clip)
        return ByteRange(path, *columns.frame(row, frame))

    def samples(self, clip: int, start: int, stop: int) -> ByteRange:
        """Return where the samples [start, stop) lie, little-endian int16. Raises IndexError where they do not."""
        path, columns, row = self.locate(clip)
        return ByteRange(path, *columns.samples(row, start, stop))

    def frame_times(self, clip: int) -> NDArray[np.int64]:
        """Return the presentation times of a clip's frames, microseconds from its time 0."""
        _, columns, row = self.locate(clip)
        return columns.frame_times(row)

    def text(self, clip: int, name: str) -> str:
        """Return `key`, `video` or `label` of a clip."""
        _, columns, row = self.locate(clip)
        return columns.text(name, row)
