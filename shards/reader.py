"""Read the clips of a shard, and refuse a shard that ends early.

Every loader built on Python's tarfile takes an archive that was cut at a member's edge for a whole one. So with an
index the size and the closing blocks are checked before the first clip and the number of clips after the last; without
one, the closing blocks are still demanded.
"""

from collections.abc import Iterator
from typing import BinaryIO

from .errors import MissingObjectError, ShardFormatError, ShardTruncatedError
from .format.clip import MEMBERS, MOST_METADATA_BYTES, Clip, read_metadata
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
    key, known, wav = "", None, b""
    try:
        for member, content in iter_members(file):
            stem, _, suffix = member.name.partition(".")
            wanted = MEMBERS[0 if known is None else 2 if wav else 1]
            if known and stem != key or suffix != wanted:
                raise ShardFormatError(f"sample {key if known else stem} lacks its member {wanted!r}")
            key = stem
            if known is None:
                known = read_metadata(content.read(MOST_METADATA_BYTES + 1), key)
            elif member.size != (size := known.member_size(suffix)):  # before it is in memory
                raise ShardFormatError(f"clip {key}: its {suffix} has {member.size} bytes; its metadata say {size}")
            elif not wav:
                wav = content.read()
            else:
                yield Clip.checked(known, wav, content.read(), key)
                known, wav = None, b""
        if known:
            raise ShardFormatError(f"sample {key} lacks its member {MEMBERS[2 if wav else 1]!r}")
    except ShardTruncatedError as error:
        raise ShardTruncatedError(f"{where}: {error}: copy or make it again") from error
    except ShardFormatError as error:
        raise ShardFormatError(f"{where}: {error}; avcorr verify --full says what else is wrong") from error
