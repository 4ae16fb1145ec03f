"""What is asked with: a clip's key, or a file with a picture, a sound or a video, as unit vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from avcorr.json_file import first_fault
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, find_ffmpeg
from avcorr.pipeline.decoding.media import Media, read_media
from avcorr.pipeline.moments.views import decode_frames
from avcorr.pipeline.settings import ShardSettings

from .embeddings import Floats
from .errors import RetrievalError
from .search import Searcher

FILE_SECONDS = 60.0
"""Of a file, no more is listened to and looked at."""
VIEWS = 10


@dataclass(frozen=True, slots=True)
class Query:
    """Unit vectors (D,) of what is asked with: the means over its moments."""

    name: str
    kind: str
    """`clip`, `picture`, `sound` or `video`."""
    image: Floats | None
    audio: Floats | None
    video: int | None = None
    """Number of its source video, for a clip."""
    filled: float = 0.0
    """Seconds of silence that were added to a sound shorter than the model's window."""

    def choose(self, by: str | None, to: str | None) -> tuple[str, str]:
        """Return what is compared and what is looked for, each `image` or `audio`.

        What is not said: what the query has, the picture where it has both, and then the other of the two.
        """
        have = [name for name in ("image", "audio") if getattr(self, name) is not None]
        if by is None:
            other = {"image": "audio", "audio": "image"}.get(to or "", "image")
            by = other if other in have else have[0]
        if by not in have:
            raise RetrievalError(f"{self.name} has no {by} to ask by; it is a {self.kind}")
        return by, to or ("audio" if by == "image" else "image")


def clip_query(searcher: Searcher, key: str) -> Query:
    """Return the query of an embedded clip. Raises RetrievalError where there is none."""
    try:
        clip = searcher.embeddings.keys.index(key)
    except ValueError:
        folder = searcher.embeddings.folder
        raise RetrievalError(f"there is no file {key}, and no clip with that key in {folder}") from None
    rows = searcher.embeddings.rows_of(clip)
    image, audio = (_mean(searcher.index.vectors(name, rows)) for name in ("image", "audio"))
    return Query(key, "clip", image, audio, int(searcher.embeddings.video[clip]))


def file_query(path: Path, embedder: Any, backend: Ffmpeg | None = None) -> Query:
    """Return the query of a picture, a sound or a video: the mean over at most VIEWS moments, spread evenly.

    embedder: the model.Embedder that made the embeddings. backend: what decodes the file, where it has limits of its
    own. Raises MediaError when the file cannot be decoded.
    """
    media = decode_file(path, embedder, backend)
    frames, sounds = _frames(media, embedder.frame_size), _sounds(media, embedder.samples)
    image = _mean(embedder.embed_images(frames).numpy()) if len(frames) else None
    audio = _mean(embedder.embed_audio(sounds).numpy()) if len(sounds) else None
    lacking = embedder.samples - sounds.shape[1] if len(sounds) else 0
    return Query(str(path), media.kind, image, audio, filled=round(lacking / embedder.sample_rate, 3))


def decode_file(path: Path, embedder: Any, backend: Ffmpeg | None = None) -> Media:
    """Return what a file holds, at most FILE_SECONDS of it, as the model wants it. Raises MediaError."""
    values = embedder.config["shard"] | {
        "clip_seconds": FILE_SECONDS, "short_side": embedder.short_side, "sample_rate": embedder.sample_rate,
        "ffmpeg": "", "decoder": "ffmpeg", "skip_nonref": False, "timeout_seconds": FILE_SECONDS,
    }  # fmt: skip
    try:
        settings = ShardSettings.model_validate(values)
    except ValidationError as error:
        raise RetrievalError(
            f"the model was trained on shards with settings that do not fit: {first_fault(error)}"
        ) from error
    return read_media(path, settings, backend or Ffmpeg(find_ffmpeg()))


def _frames(media: Media, size: int) -> NDArray[np.uint8]:
    """Return frames (B, S, S, 3), spread evenly, cropped as those of the embeddings are."""
    chosen = _spread(len(media.jpegs), VIEWS)
    out = np.empty((len(chosen), size, size, 3), np.uint8)
    decode_frames([media.jpegs[number] for number in chosen], np.full((len(chosen), 2), 0.5), out)
    return out


def _sounds(media: Media, window: int) -> NDArray[np.int16]:
    """Return windows of sound (B, N), spread evenly; all of it, (1, n), where it is shorter than one."""
    wave = np.frombuffer(media.pcm, "<i2").astype(np.int16)
    if not len(wave):
        return np.empty((0, window), np.int16)
    room = len(wave) - window + 1
    if room <= 0:
        return wave[None]
    starts = _spread(room, min(VIEWS, 1 + 2 * (room - 1) // window))
    return np.stack([wave[start : start + window] for start in starts])


def _spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the numbers below `count`, the middles of equal stretches; all where there are fewer."""
    wanted = min(count, wanted)
    return [int((number + 0.5) * count / wanted) for number in range(wanted)]


def _mean(vectors: NDArray[Any]) -> Floats:
    mean = vectors.mean(axis=0, dtype=np.float64)
    unit: Floats = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit
