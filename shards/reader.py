"""Read the clips of a shard, and refuse a shard that ends early.

Every loader built on Python's tarfile takes an archive that was cut at a member's edge for a whole one. So with an
index the size and the closing blocks are checked before the first clip and the number of clips after the last; without
one, the closing blocks are still demanded.
"""

from collections.abc import Iterator
from typing import BinaryIO

from .errors import MissingObjectError, ShardFormatError, ShardTruncatedError
from .format.clip import MEMBERS, Clip
from .format.tar import BLOCK, RECORD, iter_members
from .index.record import ShardEntry
from .store import ByteRange, Root, Store
from .stores.open import open_store


def check_shard(root: Root, shard: ShardEntry) -> None:
    """Check that a shard is there, has its recorded size and ends in two blocks of zeros.

    Raises:
        ShardTruncatedError: naming the shard and what was found instead.
        StoreError: when the store cannot be read.
    """
    store = open_store(root)
    for _, text in find_end_faults(store, shard):
        raise ShardTruncatedError(f"{store.url}/{shard.path} {text}: copy or make it again")


def find_end_faults(store: Store, shard: ShardEntry, *, tail: bool = True) -> Iterator[tuple[str, str]]:
    """Yield code (of `verify`) and words of what is wrong with the size and, unless not `tail`, the end of a shard."""
    try:
        size = store.size(shard.path)
    except MissingObjectError:
        yield "missing_shard", f"is missing; its index says {shard.clips} clips"
        return
    if size != shard.size:
        yield "size", f"has {size} bytes; its index says {shard.size}"
    if tail:
        (end,) = store.read_ranges([ByteRange(shard.path, max(0, size - 2 * BLOCK), size)])
        if len(end) < 2 * BLOCK or any(end) or size % RECORD:
            yield "end", f"does not end in two blocks of zeros at a multiple of {RECORD} bytes: it was cut"


def read_clips(root: Root, shard: ShardEntry) -> Iterator[Clip]:
    """Yield the clips of a shard in their order.

    Raises:
        ShardTruncatedError: when the shard is missing, shorter than its index says, or holds another number of clips.
        ShardFormatError: when it is no archive of whole clips.
        StoreError: when the store cannot be read.
    """
    store = open_store(root)
    check_shard(store, shard)
    where, count = f"{store.url}/{shard.path}", 0
    with store.stream(shard.path, 0, shard.size) as file:
        for clip in iter_clips(file, where):
            yield clip
            count += 1
    if count != shard.clips:
        raise ShardTruncatedError(f"{where} holds {count} clips; its index says {shard.clips}")


def iter_clips(file: BinaryIO, where: str) -> Iterator[Clip]:
    """Yield the clips of an open shard, forward only and one in memory; nothing has to be known of it.

    Args:
        file: the shard from its first byte.
        where: its name, for messages.

    Raises:
        ShardTruncatedError: when it ends early, or without the two closing blocks.
        ShardFormatError: when it is no archive of whole clips.
    """
    key, contents = "", list[bytes]()
    try:
        for member, data in iter_members(file):
            stem, _, suffix = member.name.partition(".")
            if contents and stem != key or suffix != MEMBERS[len(contents)]:
                lacking = MEMBERS[len(contents)]
                raise ShardFormatError(f"sample {key if contents else stem} lacks its member {lacking!r}")
            key = stem
            contents.append(data)
            if len(contents) == len(MEMBERS):
                metadata, wav, mjpg = contents
                yield Clip.read(metadata, wav, mjpg, key)
                contents = []
        if contents:
            raise ShardFormatError(f"sample {key} lacks its member {MEMBERS[len(contents)]!r}")
    except ShardTruncatedError as error:
        raise ShardTruncatedError(f"{where}: {error}: copy or make it again") from error
    except ShardFormatError as error:
        raise ShardFormatError(f"{where}: {error}; avcorr verify --full says what else is wrong") from error
