"""Any file that a person may ask with: a picture, a sound or a video, decoded as the videos of a dataset are.

One ffmpeg in its own process, with limits on its memory and its time, whoever made the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avcorr.files import open_file

from ..errors import MediaError
from ..settings import ShardSettings
from .decoded import Decoded
from .ffmpeg import Ffmpeg

PICTURES: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"GIF8": "gif",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
"""How pictures begin, and what ffmpeg calls them. WebP, AVIF and HEIC tell it later: see `picture_container`."""
HEIF_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""What ISO/IEC 23008-12 and AV1's image format put behind `ftyp`."""
HEAD_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What a file holds, in the form in which shards keep it."""

    kind: Literal["picture", "sound", "video"]
    """`video`: frames, with or without sound."""
    jpegs: tuple[bytes, ...]
    """Frames with the shorter side of the settings; one of a picture, none of a sound."""
    times: tuple[float, ...]
    """When each is shown, seconds."""
    pcm: bytes
    """Mono little-endian int16 at the rate of the settings; empty where there is no sound."""


def picture_container(start: bytes) -> str:
    """Return what ffmpeg calls the kind of picture that begins so, "" for none."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        animated = start[12:16] == b"VP8X" and start[20:21] and start[20] & 2
        return "webp_anim" if animated else "webp_pipe"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return "mov"
    return next((name for magic, name in PICTURES.items() if start.startswith(magic)), "")


def read_media(path: Path, settings: ShardSettings, backend: Ffmpeg) -> Media:
    """Decode the first `clip_seconds` of a file.

    Raises:
        MediaError: when it is none of the three, or cannot be decoded; its text names the file.
    """
    try:
        return _read(str(path.absolute()), settings, backend)
    except MediaError as error:
        raise MediaError(
            error.code, f"{path} cannot be read as a picture, a sound or a video: {error}",
            exit_code=error.exit_code, stderr=error.stderr,
        ) from error  # fmt: skip


def _read(path: str, settings: ShardSettings, backend: Ffmpeg) -> Media:
    try:
        with open_file(path) as file:
            container = picture_container(file.read(HEAD_BYTES))
    except OSError as error:
        raise MediaError("unreadable", str(error.strerror)) from error
    seconds = settings.clip_seconds
    if container:
        try:
            decoded = backend.decode(path, settings, duration=seconds, only="picture", container=container)
        except MediaError as error:
            if error.code == "timeout":
                raise
            raise MediaError(
                "undecodable", f"the picture is damaged, of a kind that is not read (save it as JPEG or PNG), or has "
                f"more than {backend.max_pixels} pixels",
                exit_code=error.exit_code, stderr=error.stderr,
            ) from error  # fmt: skip
        return _media("picture", decoded, 1)
    try:
        return _media("video", backend.decode(path, settings, duration=seconds))
    except MediaError as error:
        if error.code in ("no_video", "no_frames"):
            return _media("sound", backend.decode(path, settings, duration=seconds, only="sound"))
        if error.code in ("no_audio", "no_samples"):
            return _media("video", backend.decode(path, settings, duration=seconds, only="picture"))
        raise


def _media(kind: Literal["picture", "sound", "video"], decoded: Decoded, frames: int | None = None) -> Media:
    if kind != "sound" and not decoded.jpegs:
        raise MediaError("no_frames", "it gave no frame")
    if kind == "sound" and not decoded.pcm:
        raise MediaError("no_samples", "it gave no sound")
    pcm = decoded.pcm[: len(decoded.pcm) // 2 * 2]
    return Media(kind=kind, jpegs=decoded.jpegs[:frames], times=decoded.frame_times[:frames], pcm=pcm)
