"""Read the clips of a shard through webdataset, and refuse a shard that ends early.

webdataset, as every loader built on Python's tarfile, takes an archive that was cut at a member's edge for a whole
one. So the size and the closing blocks are checked before the first clip, and the number of clips after the last.
"""

import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from webdataset.tariterators import group_by_keys, tar_file_expander

from .clip import MEMBERS, Clip, ClipMetadata
from .errors import ShardFormatError, ShardTruncatedError
from .index import ShardRecord
from .tar import BLOCK


def check_ends(path: Path, record: ShardRecord) -> None:
    """Check that a shard is there, has its recorded size and ends in two blocks of zeros.

    Raises:
        ShardTruncatedError: naming the shard and what was found instead.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != record.size:
                raise ShardTruncatedError(
                    f"{path} has {size} bytes; its index says {record.size}: copy or make it again"
                )
            file.seek(size - 2 * BLOCK)
            if any(file.read()):
                raise ShardTruncatedError(f"{path} does not end in two blocks of zeros: copy or make it again")
    except FileNotFoundError as error:
        raise ShardTruncatedError(f"{path} is missing; its index says {len(record.clips)} clips") from error


def read_clips(root: Path, record: ShardRecord) -> Iterator[Clip]:
    """Yield the clips of a shard in their order.

    Raises:
        ShardTruncatedError: when the shard is missing, shorter than its index says, or holds another number of clips.
        ShardFormatError: when a sample lacks a member or its metadata break the format.
    """
    path = root / record.path
    check_ends(path, record)
    count = 0
    try:
        with path.open("rb") as stream:
            for sample in group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])):
                yield _clip(sample, path)
                count += 1
    except (tarfile.TarError, ValueError) as error:
        raise ShardFormatError(f"{path} is damaged ({error.args[0]}); run.py verify --full says where") from error
    if count != len(record.clips):
        raise ShardTruncatedError(f"{path} holds {count} clips; its index says {len(record.clips)}")


def _clip(sample: Mapping[str, Any], path: Path) -> Clip:
    try:
        metadata, wav, mjpg = (sample[suffix] for suffix in MEMBERS)
    except KeyError as error:
        raise ShardFormatError(f"sample {sample['__key__']} of {path} lacks its member {error}") from error
    return Clip(ClipMetadata.from_json(metadata), wav, mjpg)
