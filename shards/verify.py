"""Find everything that is wrong with a dataset's shards, instead of stopping at the first.

Quick: each shard's presence, size and closing blocks, and that the index agrees with the folder. Full: every byte,
by checksum, and every member against the format.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .clip import JPEG_END, JPEG_START, KEY_PATTERN, MEMBERS, WAV_HEADER_BYTES, ClipMetadata, wav_header
from .errors import ShardError
from .index import Index, ShardRecord
from .reader import check_ends
from .tar import Member, iter_members


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    where: str
    """Path of the shard relative to the root, with the clip's key behind it where one is known."""
    code: str
    """`shard` (missing, cut or altered), `extra`, `index`, `tar` or `clip`."""
    message: str


def verify(root: Path, *, full: bool = False) -> Iterator[Problem]:
    """Yield the problems of the dataset under `root`; none when all is well.

    Args:
        root: the dataset's folder.
        full: read every byte and check every member; else only sizes, ends and the index.

    Raises:
        ShardError: when there is no index to check against.
    """
    index = Index(root)
    yield from _check_index(index)
    for record in index.shards:
        if not record.clips:
            continue
        try:
            check_ends(root / record.path, record)
        except ShardError as error:
            yield Problem(record.path, "shard", str(error))
            continue
        if full:
            yield from _check_shard(root, record)


def _check_index(index: Index) -> Iterator[Problem]:
    known = {record.path for record in index.shards if record.clips}
    for path in sorted(index.root.glob("*/*.tar")):
        relative = path.relative_to(index.root).as_posix()
        if relative not in known:
            yield Problem(relative, "extra", "is not in the index: a loader would read it all the same")
    keys = Counter(clip.key.lower() for record in index.shards for clip in record.clips)
    for key, count in keys.items():
        if count > 1:
            yield Problem(key, "index", f"the key stands {count} times in the index (upper and lower case are one)")


def _check_shard(root: Path, record: ShardRecord) -> Iterator[Problem]:
    path = root / record.path
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != record.sha256:
            yield Problem(record.path, "shard", f"has sha256 {digest}; its index says {record.sha256}")
        file.seek(0)
        keys: list[str] = []
        sample: list[tuple[Member, bytes]] = []
        try:
            for member, data in iter_members(file):
                sample.append((member, data))
                if len(sample) == len(MEMBERS):
                    key = sample[0][0].name.partition(".")[0]
                    keys.append(key)
                    yield from (Problem(f"{record.path} {key}", "clip", text) for text in _clip_problems(key, sample))
                    sample = []
        except ShardError as error:
            yield Problem(record.path, "tar", str(error))
    if sample:
        yield Problem(record.path, "tar", f"ends with an incomplete clip: {', '.join(m.name for m, _ in sample)}")
    if keys != [clip.key for clip in record.clips]:
        yield Problem(record.path, "index", f"holds {len(keys)} clips in other order or number than its index says")


def _clip_problems(key: str, sample: list[tuple[Member, bytes]]) -> Iterator[str]:
    names = [member.name for member, _ in sample]
    if names != [f"{key}.{suffix}" for suffix in MEMBERS] or not KEY_PATTERN.fullmatch(key):
        yield f"members are {', '.join(names)}; expected one clip's {', '.join(MEMBERS)} side by side"
        return
    (_, json_bytes), (_, wav), (_, mjpg) = sample
    try:
        metadata = ClipMetadata.from_json(json_bytes)
    except ShardError as error:
        yield str(error)
        return
    if metadata.key != key:
        yield f"its metadata name the key {metadata.key}"
    yield from _sound_problems(metadata, wav)
    yield from _frame_problems(metadata, mjpg)


def _sound_problems(metadata: ClipMetadata, wav: bytes) -> Iterator[str]:
    expected = WAV_HEADER_BYTES + 2 * metadata.sample_count
    if len(wav) != expected:
        yield f"its WAV has {len(wav)} bytes; {metadata.sample_count} samples need {expected}"
    elif wav[:WAV_HEADER_BYTES] != wav_header(metadata.sample_rate, metadata.sample_count):
        yield "its WAV header is not the canonical one"
    if metadata.sample_count < 1 or metadata.duration != metadata.sample_count / metadata.sample_rate:
        yield f"its duration {metadata.duration} is not {metadata.sample_count} samples at {metadata.sample_rate} Hz"


def _frame_problems(metadata: ClipMetadata, mjpg: bytes) -> Iterator[str]:
    times, offsets = metadata.frame_times, metadata.frame_offsets
    if not times or len(offsets) != len(times) + 1 or offsets[0] != 0 or offsets[-1] != len(mjpg):
        yield f"its {len(offsets)} frame offsets do not span the {len(mjpg)} bytes of {len(times)} frames"
        return
    if any(later <= earlier for earlier, later in zip(times, times[1:], strict=False)):
        yield "its frame times do not increase"
    for number, (start, stop) in enumerate(zip(offsets, offsets[1:], strict=False)):
        if mjpg[start : start + 2] != JPEG_START or mjpg[stop - 2 : stop] != JPEG_END:
            yield f"its frame {number} is no whole JPEG"
