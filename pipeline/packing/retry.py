"""Try failed inputs of complete shards again, in place.

A shard that gains a clip is built anew beside the present one: its other clips are copied as they are, in the planned
order, and it takes the old one's place when it is whole. So it has the bytes that it would have had if the input had
worked at once. A shard that gains nothing keeps its file; only its record is written again.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from avcorr.shards.errors import ShardTruncatedError
from avcorr.shards.format.clip import Clip
from avcorr.shards.index.layout import ShardName, write_json
from avcorr.shards.index.record import ShardRecord, read_record
from avcorr.shards.reader import read_clips
from avcorr.shards.writer import ShardWriter, discard_work

from ..sources.source import Source
from .plan import PlannedShard


class ShardRebuild:
    """Takes new attempts at some inputs of a complete shard, in planned order; stands in for its ShardWriter.

    Args:
        root: the dataset's folder.
        shard: the shard as it was planned.
        codes: reason codes of the inputs to try again.
        except_keys: keys of inputs that are left as they are.
        bring: fetches the present shard, where it does not lie in the folder.
    """

    def __init__(
        self,
        root: Path,
        shard: PlannedShard,
        codes: Collection[str],
        except_keys: Collection[str],
        bring: Callable[[ShardName], None] | None = None,
    ) -> None:
        self._root, self._shard, self._bring = root, shard, bring
        self._record: ShardRecord = read_record(root / shard.name.record)
        self._rows: dict[str, Mapping[str, Any]] = {row["key"]: row for row in self._record.ledger}
        self._wanted = {
            row["key"]: row["attempts"] for row in self._record.ledger
            if row["status"] == "failed" and row["code"] in codes and row["key"] not in except_keys
        }  # fmt: skip
        self._writer: ShardWriter | None = None
        self._present: Iterator[Clip] = iter(())
        self._done = 0

    def wanted(self) -> Iterator[tuple[Source, int]]:
        """Yield the inputs to try again, in planned order, with the number of the attempt."""
        for source in self._shard.sources:
            if source.key in self._wanted:
                yield source, self._wanted[source.key] + 1

    def add(self, clip: Clip, row: Mapping[str, Any]) -> None:
        """Take a clip where there was none."""
        if self._writer is None:
            self._begin()
        assert self._writer is not None
        self._copy_before(row["key"])
        self._writer.add(clip, row)
        self._done += 1

    def fail(self, row: Mapping[str, Any]) -> None:
        """Note another failure."""
        self._rows[row["key"]] = row

    def publish(self, accepts: Callable[[ShardRecord], bool]) -> None:
        """Put the shard in the place of the present one, or write only what was tried."""
        if self._writer is None:
            rows = tuple(self._rows[row["key"]] for row in self._record.ledger)
            record = replace(self._record, ledger=rows)
            write_json(self._root / self._shard.name.record, record.to_json())
        else:
            self._copy_before("")
            self._writer.publish(accepts)

    def close(self) -> None:
        """Let go of the files."""
        if self._writer is not None:
            self._writer.close()

    def _begin(self) -> None:
        if self._record.clips:
            if self._bring is not None:
                self._bring(self._shard.name)
            path = self._root / self._record.path
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != self._record.sha256:
                    raise ShardTruncatedError(f"{path} is damaged, so nothing is added to it; make it whole first")
            self._present = read_clips(self._root, self._record)
        discard_work(self._root, self._shard.name)  # what an interrupted attempt left is not taken up
        self._writer = ShardWriter(self._root, self._shard.name, [source.key for source in self._shard.sources])

    def _copy_before(self, key: str) -> None:
        """Copy what is planned before an input, or all that is left for ""."""
        assert self._writer is not None
        for source in self._shard.sources[self._done :]:
            if source.key == key:
                return
            row = self._rows[source.key]
            if row["status"] == "packed":
                self._writer.add(next(self._present), row)
            else:
                self._writer.fail(row)
            self._done += 1
