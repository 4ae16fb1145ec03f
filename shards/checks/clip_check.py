"""Hold one clip's three members against shards/FORMAT.md."""

import json
import math
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import ShardError
from ..format.clip import FORMAT_VERSION, JPEG_END, JPEG_START, KEY_PATTERN, WAV_HEADER_BYTES, ClipMetadata, wav_header

Fault = tuple[str, str]
"""A code of shards.problem.CODES and what was seen."""

_TYPES: dict[str, Any] = get_type_hints(ClipMetadata)
_REQUIRED = frozenset(
    field.name for field in fields(ClipMetadata) if field.default is MISSING and field.default_factory is MISSING
)
_LEAST: dict[str, float] = {
    "start": 0, "width": 1, "height": 1, "sample_rate": 1, "sample_count": 1, "source_width": 0, "source_height": 0,
    "source_frame_rate": 0, "source_sample_rate": 0, "channels": 1, "video_streams": 0, "audio_streams": 0,
    "loudness": -120, "peak": 0,
}  # fmt: skip
_MOST = 2**30
_BASELINE, _SCAN = 0xC0, 0xDA


def check_clip(
    key: str, split: str, json_bytes: bytes, wav: bytes, mjpg: bytes, longest: float | None
) -> tuple[ClipMetadata | None, list[Fault]]:
    """Return the metadata, None where they are unusable, and everything that is wrong with the clip.

    Args:
        key: the clip's key as its members' names have it.
        split: the folder that the shard lies in.
        json_bytes: content of `<key>.json`.
        wav: content of `<key>.wav`.
        mjpg: content of `<key>.mjpg`.
        longest: the longest that a clip may be, seconds; None where it is not known.
    """
    found: list[Fault] = [] if KEY_PATTERN.fullmatch(key) else [("key", f"the key {key!r} breaks the grammar")]
    try:
        values = json.loads(json_bytes)
    except (ValueError, RecursionError) as error:
        return None, [*found, ("metadata", f"its metadata are not JSON ({error})")]
    wrong = list(_metadata_faults(values))
    if wrong:
        return None, [*found, *wrong]
    try:
        metadata = ClipMetadata.from_mapping(values)
    except ShardError as error:
        return None, [*found, ("metadata", str(error))]
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


def _metadata_faults(values: Any) -> Iterator[Fault]:
    """Yield fields that are missing or have another type: loaders that infer a schema need the same type in all."""
    if not isinstance(values, dict):
        yield "metadata", f"its metadata are {type(values).__name__}, not an object"
        return
    if values.get("format") != FORMAT_VERSION:
        yield "metadata", f"its format is {values.get('format')!r}, not {FORMAT_VERSION}"
        return
    for name in sorted(_REQUIRED - values.keys()):
        yield "metadata", f"its metadata lack the field {name!r}"
    for name, value in values.items():
        if value is None or value == []:
            yield "metadata", f"its field {name!r} is {json.dumps(value)}"
        elif name in _TYPES and not _fits(value, _TYPES[name]):
            yield "metadata", f"its field {name!r} is {_short(value)}, not {_type_name(_TYPES[name])}"
        elif name in _LEAST and not _LEAST[name] <= value <= (1 if name == "peak" else _MOST):
            yield "metadata", f"its field {name!r} is {value}, which is out of range"


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a JSON value has exactly one type: no int for a float, no bool for an int, no infinity."""
    if get_origin(kind) is list:
        return type(value) is list and all(_fits(item, get_args(kind)[0]) for item in value)
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    return type(value) is kind and (kind is not float or math.isfinite(value))


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _sound_faults(metadata: ClipMetadata, wav: bytes) -> Iterator[Fault]:
    count, rate = metadata.sample_count, metadata.sample_rate
    if metadata.channels not in (1, 2):
        yield "sound", f"it has {metadata.channels} channels; there may be 1 or 2"
        return
    expected = WAV_HEADER_BYTES + 2 * metadata.channels * count
    if wav[:WAV_HEADER_BYTES] != wav_header(rate, count, metadata.channels):
        yield "sound", f"its WAV header is not the one of {count} 16-bit samples at {rate} Hz in {metadata.channels}"
    if len(wav) != expected:
        yield "sound", f"its WAV has {len(wav)} bytes; {count} samples need {expected}"
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
