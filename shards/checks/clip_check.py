"""Hold one clip's three members against shards/FORMAT.md."""

import json
import math
from collections.abc import Iterator
from functools import cache

from pydantic import TypeAdapter, ValidationError

from ..errors import ShardFormatError
from ..format import sound_codec
from ..format.clip import JPEG_END, JPEG_START, KEY_PATTERN, ClipMetadata

Fault = tuple[str, str]
"""A code of shards.problem.CODES and what was seen."""

_BASELINE, _SCAN = 0xC0, 0xDA


def check_clip(
    key: str, split: str, json_bytes: bytes, wav: bytes, mjpg: bytes, longest: float | None
) -> tuple[ClipMetadata | None, list[Fault]]:
    """Return the metadata, None where they are unusable, and everything that is wrong with the clip.

    Args:
        key: the clip's key as its members' names have it.
        split: the folder that the shard lies in.
        json_bytes, wav, mjpg: contents of its members.
        longest: the longest that a clip may be, seconds; None where it is not known.
    """
    found: list[Fault] = [] if KEY_PATTERN.fullmatch(key) else [("key", f"the key {key!r} breaks the grammar")]
    wrong = list(_metadata_faults(json_bytes))
    if wrong:
        return None, [*found, *(("metadata", text) for text in wrong)]
    metadata = ClipMetadata.from_json(json_bytes)
    if metadata.labels[0] != metadata.label:
        found.append(("metadata", f"its label {metadata.label!r} is not the first of its labels"))
    if metadata.key != key:
        found.append(("key", f"its metadata name the key {metadata.key!r}"))
    if metadata.split != split:
        found.append(("split", f"its metadata name the split {metadata.split!r}; it lies in {split!r}"))
    found += _sound_faults(metadata, wav)
    found += _time_faults(metadata, longest)
    found += _frame_faults(metadata, mjpg)
    return metadata, found


def _metadata_faults(data: bytes) -> Iterator[str]:
    """Yield what is missing, null, an empty list, or of another type or range."""
    try:
        values = json.loads(data)
        ClipMetadata.from_mapping(values)
        for name, value in values.items():
            if value is None or value == []:
                yield f"its field {name!r} is {json.dumps(value)}"
        _schema().validate_json(data, strict=True)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            text = json.dumps(fault["input"], default=str)
            where = ".".join(map(str, fault["loc"]))
            yield f"its field {where!r} is {text if len(text) <= 60 else f'{text[:60]}...'}: {fault['msg']}"
    except ShardFormatError as error:
        yield str(error)
    except (ValueError, RecursionError) as error:
        yield f"its metadata are not JSON ({error})"


@cache
def _schema() -> TypeAdapter[ClipMetadata]:
    return TypeAdapter(ClipMetadata)


def _sound_faults(metadata: ClipMetadata, wav: bytes) -> Iterator[Fault]:
    count, rate = metadata.sample_count, metadata.sample_rate
    for fault in sound_codec.find_faults(wav, rate, count, metadata.channels):
        yield "sound", fault
    if metadata.duration != count / rate:
        yield "sound", f"its duration {metadata.duration} is not {count} samples at {rate} Hz"


def _time_faults(metadata: ClipMetadata, longest: float | None) -> Iterator[Fault]:
    times = metadata.frame_times
    for number, (earlier, later) in enumerate(zip(times, times[1:], strict=False), 1):
        if later <= earlier:
            yield "times", f"its frame {number} is at {later} s, the one before at {earlier} s"
            break
    last = max(longest or math.inf, metadata.duration)  # the picture may be longer than the sound
    outside = [moment for moment in times if not 0 <= moment < last]
    if outside:
        yield "times", f"{len(outside)} of its frames lie outside the clip, at {outside[0]} s for one"


def _frame_faults(metadata: ClipMetadata, mjpg: bytes) -> Iterator[Fault]:
    times, offsets = metadata.frame_times, metadata.frame_offsets
    rising = all(earlier < later for earlier, later in zip(offsets, offsets[1:], strict=False))
    if len(offsets) != len(times) + 1 or offsets[0] != 0 or offsets[-1] != len(mjpg) or not rising:
        yield "frames", f"its {len(offsets)} frame offsets do not span the {len(mjpg)} bytes of {len(times)} frames"
        return
    wrong: dict[str, list[str]] = {}
    for number, (start, stop) in enumerate(zip(offsets, offsets[1:], strict=False)):
        fault = _jpeg_fault(mjpg, start, stop, (metadata.width, metadata.height))
        if fault:
            wrong.setdefault(fault[0], []).append(f"its frame {number} {fault[1]}")
    for code, messages in wrong.items():
        more = f" ({len(messages)} of {len(times)} frames are so)" if len(messages) > 1 else ""
        yield code, messages[0] + more


def _jpeg_fault(data: bytes, start: int, stop: int, size: tuple[int, int]) -> Fault | None:
    """Return what is wrong with the header of the JPEG in data[start:stop], or None (ITU-T T.81, B.2)."""
    if data[start : start + 2] != JPEG_START or data[stop - 2 : stop] != JPEG_END or stop - start < 4:
        return "jpeg", "does not begin with SOI and end with EOI"
    if data.find(JPEG_END + JPEG_START, start, stop) >= 0:
        return "jpeg", "is more than one JPEG"
    position = start + 2
    while position + 10 <= stop and data[position] == 0xFF and data[position + 1] != _SCAN:
        length = int.from_bytes(data[position + 2 : position + 4])
        if data[position + 1] == _BASELINE:
            height = int.from_bytes(data[position + 5 : position + 7])
            width = int.from_bytes(data[position + 7 : position + 9])
            if data[position + 4] != 8 or length < 11 or position + 2 + length > stop:
                return "jpeg", "has a damaged frame header"
            if (width, height) != size:
                return "jpeg_size", f"is {width} x {height}; the metadata say {size[0]} x {size[1]}"
            return None
        position += 2 + length
    return "jpeg", "has no baseline frame header"
