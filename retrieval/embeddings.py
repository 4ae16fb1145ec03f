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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, with_config
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from typing_extensions import TypedDict

from avcorr.files import open_file, read_file, write_atomically
from avcorr.json_file import parse_json, read_json
from avcorr.shards.index.layout import write_json

from .errors import RetrievalError

FORMAT = 1
MANIFEST = "embeddings.json"
MODALITIES = ("image", "audio")
MOST_BYTES = 1 << 28
"""Of the clips of a part."""
Floats = NDArray[np.float32]
Digest = Annotated[str, Field(max_length=64)]
Rows = Annotated[int, Field(ge=0, lt=2**31)]


class Part(TypedDict):
    """What embeddings.json says of a part."""

    rows: Rows
    shard_sha256: Digest
    clips_sha256: Digest


@with_config(ConfigDict(extra="allow"))
class Identity(TypedDict):
    """What vectors depend on besides the clips."""

    model: Digest


@with_config(ConfigDict(extra="allow"))
class Manifest(TypedDict):
    """What embeddings.json says; the last three once all parts are there."""

    format: int
    identity: Identity
    shards: NotRequired[str]
    shared_space: NotRequired[bool]
    parts: NotRequired[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")], Part]]


class Clip(TypedDict):
    """A line of a part's clips."""

    key: str
    video: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    label: str
    split: str
    views: Annotated[int, Field(ge=1, lt=2**31)]


_MANIFEST, _CLIPS = TypeAdapter(Manifest), TypeAdapter(list[Clip])


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
            with open_part(self.folder / f"{name}.safetensors") as (_, _, _, found):
                return found == shard_sha256
        except (OSError, ValueError):
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
                with open_part(self.folder / f"{name}.safetensors") as (_, rows, _, shard):
                    digest = hashlib.sha256(read_file(self.folder / f"{name}.jsonl", MOST_BYTES)).hexdigest()
            except (OSError, ValueError):
                continue
            parts[name] = {"rows": rows, "shard_sha256": shard, "clips_sha256": digest}
        write_json(self.folder / MANIFEST, {"format": FORMAT, "identity": self.identity, **facts, "parts": parts})


def read_manifest(folder: Path) -> Manifest:
    """Return embeddings.json. Raises RetrievalError where there is none that can be read."""
    path = folder / MANIFEST
    try:
        found = read_json(path, _MANIFEST)
    except FileNotFoundError as error:
        raise RetrievalError(f"{folder} holds no embeddings (no {MANIFEST}); make some with: avcorr embed") from error
    except (OSError, ValueError) as error:
        raise RetrievalError(f"{path} is damaged ({error}); delete {folder} and avcorr embed again") from error
    if found["format"] != FORMAT:
        raise RetrievalError(f"{path} has format {found['format']}; this program reads format {FORMAT}")
    return found


@contextmanager
def open_part(path: Path) -> Iterator[tuple[Any, int, int, str]]:
    """Open the vectors of a part, and yield the file, its rows, the length of a vector and the digest of its shard.

    Raises:
        ValueError: where it is no file of a part; nothing of what it claims is in memory by then.
        OSError: where it cannot be opened.
    """
    open_file(path).close()  # no pipe
    try:
        with safe_open(path, "numpy") as file:
            found = {}
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensor = file.get_slice(name)
                found[name] = (tensor.get_dtype(), tuple(tensor.get_shape()))
            rows, size = found["image"][1] if len(found.get("image", ("", ()))[1]) == 2 else (0, 0)
            vectors = ("F32", (rows, size))
            if found != {"image": vectors, "audio": vectors, "time": ("F64", (rows,)), "hash": ("U8", (rows, 32))}:
                raise ValueError("it does not hold image, audio, time and hash of the same rows")
            yield file, rows, size, (file.metadata() or {}).get("shard_sha256", "")
    except SafetensorError as error:
        raise ValueError(str(error)) from error


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
        parts = manifest.get("parts")
        if parts is None or "shards" not in manifest or "shared_space" not in manifest:
            raise RetrievalError(f"{folder} is not finished; run the same avcorr embed again")
        self.folder, self.identity = folder, manifest["identity"]
        self.shards, self.has_shared_space = manifest["shards"], manifest["shared_space"]
        self.digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        self.parts: tuple[str, ...] = tuple(parts)
        self._rows = {name: parts[name]["rows"] for name in self.parts}
        clips = [clip for name in self.parts for clip in self._clips(name, parts[name])]
        self.keys = [clip["key"] for clip in clips]
        self.labels = np.array([clip["label"] for clip in clips], np.str_)
        self.splits = np.array([clip["split"] for clip in clips], np.str_)
        self.video = np.array([clip["video"] for clip in clips], np.int64)
        self.views = np.array([clip["views"] for clip in clips], np.int64)
        self.first = np.cumsum(self.views) - self.views
        self.clip = np.repeat(np.arange(len(clips), dtype=np.int32), self.views)
        self._ends = np.cumsum(list(self._rows.values()))
        self.width = self._width()

    def __len__(self) -> int:
        return len(self.clip)

    def _clips(self, name: str, entry: Part) -> list[Clip]:
        """Return the clips of a part, whose views are the rows of its vectors."""
        path = self.folder / f"{name}.jsonl"
        try:
            data = read_file(path, MOST_BYTES)
        except OSError as error:
            raise RetrievalError(f"{path}: {error.strerror}; avcorr embed again") from error
        if hashlib.sha256(data).hexdigest() != entry["clips_sha256"]:
            raise RetrievalError(f"{path} is damaged or changed; delete it and avcorr embed again")
        try:
            clips = parse_json(b"[" + data.replace(b"\n", b",").rstrip(b",") + b"]", _CLIPS)
        except ValueError as error:
            raise RetrievalError(f"{path} is damaged ({error}); delete it and avcorr embed again") from error
        if (found := sum(clip["views"] for clip in clips)) != entry["rows"]:
            raise RetrievalError(f"{path} has {found} views of {entry['rows']} rows; delete it and avcorr embed again")
        return clips

    def _width(self) -> int:
        """Return the length of a vector, once each part has as many rows as it should and all are as long."""
        widths = set()
        for name in self.parts:
            with self._open(name) as (_, rows, width, _):
                if rows != self._rows[name]:
                    raise ValueError(f"it has {rows} rows, not {self._rows[name]}")
                widths.add(width)
        if len(widths) > 1:
            raise RetrievalError(f"{self.folder} has vectors of several lengths; delete it and avcorr embed again")
        return widths.pop() if widths else 0

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield `image`, `audio`, `time` or `hash` of one part after the other; what is not finite is refused."""
        for part in self.parts:
            with self._open(part) as (file, _, _, _):
                block = file.get_tensor(name)
                if not np.isfinite(block).all():
                    raise ValueError(f"its {name} is not finite")
            yield block

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

    @contextmanager
    def _open(self, part: str) -> Iterator[tuple[Any, int, int, str]]:
        path = self.folder / f"{part}.safetensors"
        try:
            with open_part(path) as opened:
                yield opened
        except (OSError, ValueError) as error:
            raise RetrievalError(f"{path} is damaged ({error}); delete it and avcorr embed again") from error
