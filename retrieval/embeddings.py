"""Embeddings on disk: two files for each shard, and one over all of them.

    DIR/train-000000.safetensors    image, audio float32 (M, D), unit length; time float64 (M,), seconds;
                                    hash uint8 (M, 32), of the picture
    DIR/train-000000.jsonl          a line a clip, in the order of the rows: key, video, label, split, views
    DIR/embeddings.json             whose embeddings these are; once all are there, the list of the parts

A part is written whole or not at all, its clips last. So an embedding that was interrupted goes on with what lacks.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from avcorr.files import write_atomically
from avcorr.shards.index.layout import write_json

from .errors import RetrievalError

FORMAT = 1
MANIFEST = "embeddings.json"
MODALITIES = ("image", "audio")
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddedClip:
    """A clip whose views are embedded."""

    key: str
    video: int
    """63-bit number of its source video."""
    label: str
    split: str
    views: int
    """How many rows it has."""


class Parts:
    """The writing side: which parts are there, and new ones.

    identity: what the vectors depend on besides the clips: model, views, seed, sizes. JSON-able.
    Raises RetrievalError when the folder holds embeddings of another identity.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, dict(identity)
        path = folder / MANIFEST
        if path.exists():
            found = read_manifest(folder)["identity"]
            differing = sorted(name for name in found.keys() | identity.keys() if found.get(name) != identity.get(name))
            if differing:
                text = ", ".join(f"{name} ({found.get(name)}, now {identity.get(name)})" for name in differing)
                raise RetrievalError(f"{folder} holds other embeddings: {text}; give another --out, or delete it")
        else:
            write_json(path, {"format": FORMAT, "identity": self.identity})

    def has(self, name: str, shard_sha256: str) -> bool:
        """Return whether a shard's part is there, and made of the shard as it is now."""
        if not (self.folder / f"{name}.jsonl").is_file():
            return False
        try:
            with safe_open(self.folder / f"{name}.safetensors", "numpy") as file:
                return bool((file.metadata() or {}).get("shard_sha256") == shard_sha256)
        except (OSError, SafetensorError):
            return False

    def write(
        self, name: str, shard_sha256: str, arrays: Mapping[str, NDArray[Any]], clips: Sequence[EmbeddedClip]
    ) -> None:
        """Write image, audio, time and hash of a shard; the rows of a clip follow each other, in the clips' order."""
        assert {len(column) for column in arrays.values()} == {sum(clip.views for clip in clips)}
        (self.folder / f"{name}.jsonl").unlink(missing_ok=True)
        data = save(dict(arrays), metadata={"shard_sha256": shard_sha256})
        write_atomically(self.folder / f"{name}.safetensors", data)
        lines = [json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips]
        write_atomically(self.folder / f"{name}.jsonl", "".join(lines).encode())

    def finish(self, names: Iterable[str], facts: Mapping[str, Any]) -> None:
        """Say that all of these parts are there; parts of other shards that an earlier call named are kept."""
        earlier = read_manifest(self.folder).get("parts", {})
        parts = {}
        for name in sorted({*names, *earlier}):
            try:
                with safe_open(self.folder / f"{name}.safetensors", "numpy") as file:
                    rows, _ = file.get_slice("image").get_shape()
                    shard = (file.metadata() or {})["shard_sha256"]
            except (OSError, SafetensorError, KeyError):
                continue
            digest = hashlib.sha256((self.folder / f"{name}.jsonl").read_bytes()).hexdigest()
            parts[name] = {"rows": rows, "shard_sha256": shard, "clips_sha256": digest}
        write_json(self.folder / MANIFEST, {"format": FORMAT, "identity": self.identity, **facts, "parts": parts})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return embeddings.json. Raises RetrievalError where there is none that can be read."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise RetrievalError(f"{path} has format {values['format']!r}; this program reads format {FORMAT}")
    except OSError as error:
        raise RetrievalError(f"{folder} holds no embeddings (no {MANIFEST}); make some with: avcorr embed") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RetrievalError(f"{path} is damaged ({error!r}); delete {folder} and avcorr embed again") from error
    manifest: dict[str, Any] = values
    return manifest


class EmbeddingFolder:
    """The reading side of what `avcorr embed` wrote: all clips, and any rows of the vectors.

    Attributes:
        identity: what the vectors depend on: `model` is the digest of its weights.
        shards: address of the dataset.
        has_shared_space: whether images and sounds can be set against each other.
        keys, labels, splits: of the clips, in the order of their numbers.
        video: int64 (n,), number of each clip's source video.
        first: int64 (n,), each clip's first row.
        views: int64 (n,), how many rows it has.
        clip: int32 (M,), clip number of each row.

    Raises:
        RetrievalError: when it is not whole.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        if "parts" not in manifest:
            raise RetrievalError(f"{folder} is not finished; run the same avcorr embed again")
        self.folder, self.identity = folder, manifest["identity"]
        self.shards: str = manifest["shards"]
        self.has_shared_space: bool = manifest["shared_space"]
        self.digest = hashlib.sha256(json.dumps(manifest["parts"], sort_keys=True).encode()).hexdigest()
        self.parts: tuple[str, ...] = tuple(manifest["parts"])
        clips = [clip for name in self.parts for clip in self._clips(name, manifest["parts"][name])]
        self.keys = [clip["key"] for clip in clips]
        self.labels = np.array([clip["label"] for clip in clips], np.str_)
        self.splits = np.array([clip["split"] for clip in clips], np.str_)
        self.video = np.array([clip["video"] for clip in clips], np.int64)
        self.views = np.array([clip["views"] for clip in clips], np.int64)
        self.first = np.cumsum(self.views) - self.views
        self.clip = np.repeat(np.arange(len(clips), dtype=np.int32), self.views)
        rows = [manifest["parts"][name]["rows"] for name in self.parts]
        self._ends = np.cumsum(rows)
        if sum(rows) != len(self.clip):
            raise RetrievalError(f"{folder} has {sum(rows)} rows for {len(self.clip)} views; avcorr embed again")

    def __len__(self) -> int:
        return len(self.clip)

    def _clips(self, name: str, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            data = (self.folder / f"{name}.jsonl").read_bytes()
        except OSError as error:
            raise RetrievalError(f"{self.folder}/{name}.jsonl: {error.strerror}; avcorr embed again") from error
        if hashlib.sha256(data).hexdigest() != entry["clips_sha256"]:
            raise RetrievalError(f"{self.folder}/{name}.jsonl is damaged or changed; delete it and avcorr embed again")
        clips: list[dict[str, Any]] = json.loads(b"[" + data.replace(b"\n", b",").rstrip(b",") + b"]")
        return clips

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield `image`, `audio`, `time` or `hash` of one part after the other."""
        for part in self.parts:
            with self._open(part) as file:
                yield file.get_tensor(name)

    def rows_of(self, clip: int) -> NDArray[np.int64]:
        """Return the rows of a clip."""
        return np.arange(self.first[clip], self.first[clip] + self.views[clip])

    def rows_of_all(self, clips: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of clips, those of each after those of the one before."""
        views = self.views[clips]
        within = np.arange(views.sum()) - np.repeat(np.cumsum(views) - views, views)
        rows: NDArray[np.int64] = np.repeat(self.first[clips], views) + within
        return rows

    def part_of(self, clip: int) -> str:
        """Return the name of the part, which is that of its shard's record, that holds a clip."""
        return self.parts[int(np.searchsorted(self._ends, self.first[clip], side="right"))]

    def _open(self, part: str) -> Any:
        try:
            return safe_open(self.folder / f"{part}.safetensors", "numpy")
        except (OSError, SafetensorError) as error:
            raise RetrievalError(f"{self.folder}/{part}.safetensors: {error}; delete it, embed again") from error
