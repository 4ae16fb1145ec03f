"""Hold one clip's three members against shards/FORMAT.md."""

import json
from collections.abc import Iterator
from itertools import pairwise

import simplejpeg

from avcorr.json_file import load_json

from ..errors import ShardFormatError
from ..format import jpeg
from ..format.clip import KEY_PATTERN, ClipMetadata, find_clip_faults, find_metadata_faults
from ..format.tar import Content

Fault = tuple[str, str]
"""A code of shards.problem.CODES and what was seen."""


def check_clip(
    key: str, split: str, json_bytes: bytes, wav: tuple[bytes, int], mjpg: tuple[Content, int], longest: float | None
) -> tuple[ClipMetadata | None, list[Fault]]:
    """Return the metadata, None where they are unusable, and everything that is wrong with the clip.

    Args:
        key: the clip's key as its members' names have it.
        split: the folder that the shard lies in.
        json_bytes: content of `<key>.json`.
        wav: the first `sound_codec.HEADER_BYTES` of the sound, and its size.
        mjpg: the frames, read one by one, and their size.
        longest: the longest that a clip may be, seconds; None where it is not known.

    Raises:
        ShardTruncatedError: where the shard ends within the frames.
    """
    found: list[Fault] = [] if KEY_PATTERN.fullmatch(key) else [("key", f"the key {key!r} breaks the grammar")]
    try:
        metadata, wrong = ClipMetadata.from_json(json_bytes), list(_nulls(json_bytes))
    except ShardFormatError:
        metadata, wrong = None, list(find_metadata_faults(json_bytes))
    if metadata is None or wrong:
        return None, [*found, *(("metadata", text) for text in wrong)]
    if metadata.key != key:
        found.append(("key", f"its metadata name the key {metadata.key!r}"))
    if metadata.split != split:
        found.append(("split", f"its metadata name the split {metadata.split!r}; it lies in {split!r}"))
    wrong_members = list(find_clip_faults(metadata, *wav, mjpg[1], longest))
    found += wrong_members
    if not any(code == "frames" for code, _ in wrong_members):
        found += _frame_faults(metadata, mjpg[0])
    return metadata, found


def _nulls(data: bytes) -> Iterator[str]:
    """Yield which fields are null or an empty list, also of those that only later revisions know."""
    for name, value in load_json(data).items():
        if value is None or value == []:
            yield f"its field {name!r} is {json.dumps(value)}"


def _frame_faults(metadata: ClipMetadata, mjpg: Content) -> Iterator[Fault]:
    """Yield what is wrong with the frames, one line for all frames of a clip where it is the same."""
    wrong: dict[str, list[str]] = {}
    for number, (start, stop) in enumerate(pairwise(metadata.frame_offsets)):
        fault = _jpeg_fault(mjpg.read(stop - start), metadata.width, metadata.height)
        if fault:
            wrong.setdefault(fault[0], []).append(f"its frame {number} {fault[1]}")
    for code, messages in wrong.items():
        more = f" ({len(messages)} of {metadata.frame_count} frames are so)" if len(messages) > 1 else ""
        yield code, messages[0] + more


def _jpeg_fault(data: bytes, width: int, height: int) -> Fault | None:
    """Return what is wrong with a frame, which is decoded where its header lets it."""
    if fault := jpeg.find_fault(data, width, height):
        return fault
    if data.rfind(jpeg.END + jpeg.START) >= 0:
        return "jpeg", "is more than one JPEG"
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_factor=8, fastdct=True)
    except ValueError as error:
        return "jpeg", f"cannot be decoded ({error})"
    return None
