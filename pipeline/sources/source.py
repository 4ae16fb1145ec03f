"""One input of the packer and the list of all: what is known of a video before it is opened."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from .archive import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input: where the video lies and what is known of it before it is opened."""

    key: str = ""
    path: str
    """Absolute path of the file, or of the archive that it is a member of."""
    name: str
    """The path as it was given, for people; that of a member is <archive>/<member>."""
    video: str
    """Identity of the source video."""
    labels: tuple[str, ...] = ()
    """Class names; empty where none is known."""
    caption: str = ""
    """What it shows in words; "" where unknown."""
    split: str = ""
    start: float = 0.0
    """Where the clip begins in its source video, seconds."""
    seek: float = 0.0
    """Where the clip begins in the file, seconds: 0 for a file that was cut already."""
    duration: float = 0.0
    """Wanted length in seconds; 0 for as much as shard.clip_seconds allows."""
    audio: str = ""
    """Absolute path of the file that holds the sound; "" where the video does."""
    audio_offset: float = 0.0
    """Where the first sample of that file lies on the video's clock, seconds."""
    columns: tuple[tuple[str, str | int | float | bool | None], ...] = ()
    """What else the list says of it: names of columns and values."""
    member: Member | None = None
    """Where the file lies in the archive `path`; None where `path` is the file itself."""
    problem: tuple[str, str] | None = None
    """Reason code and message of an input that is known to give no clip."""

    @property
    def label(self) -> str:
        """The first class name; "" where none is known."""
        return self.labels[0] if self.labels else ""


@dataclass(frozen=True, slots=True)
class SourceList:
    """The inputs to pack, sorted by key, and those that repeat an earlier one."""

    sources: Sequence[Source]
    duplicates: Sequence[Source]
    notes: Sequence[str] = ()
    """What the user should know of them as a whole, a sentence each."""

    def fingerprint(self) -> str:
        """Return a sha256 over what decides the shards' contents: keys, names, splits and spans."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(
                "\0".join(
                    (source.key, source.name, source.video, source.split, source.caption, *source.labels, "")
                ).encode(errors="surrogateescape")
            )
            if source.audio:
                beside = f"{os.path.basename(source.audio)}\0{source.audio_offset!r}\0"
                digest.update(beside.encode(errors="surrogateescape"))
            digest.update(f"{source.start!r} {source.seek!r} {source.duration!r}\n".encode())
        return digest.hexdigest()

    def in_two_splits(self) -> tuple[int, str]:
        """Return how many source videos have clips in more than one split, and one of them."""
        first: dict[str, str] = {}
        shared = {
            source.video for source in self.sources if first.setdefault(source.video, source.split) != source.split
        }
        return len(shared), min(shared, default="")
