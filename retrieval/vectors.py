"""Vector index over embeddings: nearest images or sounds of a vector, exactly, or among the clusters near it.

    DIR/image.faiss, audio.faiss    the vectors, as faiss keeps them
    DIR/hashes.npy, times.npy       of every row
    DIR/index.json                  of which embeddings, and of what kind; written last

`exact` compares with every row. `ivf` sorts the rows into some 1.4 * sqrt(M) clusters by k-means and compares with
those of the nearest sixteenth: of millions of rows, all but a few true neighbours are found, in a few milliseconds.
"""

import logging
import os
import struct
from collections.abc import Iterator
from math import log2, sqrt
from pathlib import Path
from typing import Annotated, Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from avcorr.files import open_file, replacing
from avcorr.json_file import read_json
from avcorr.limits import cpu_count
from avcorr.shards.index.layout import write_json

from .embeddings import MODALITIES, EmbeddingFolder, Floats
from .errors import RetrievalError

INDEX = "index.json"
FILES = ("image.faiss", "audio.faiss", "hashes.npy", "times.npy")
EXACT_ROWS = 250_000
"""Up to so many rows are compared one by one where nothing else was asked for: some 20 ms on two cores."""
FEW_ROWS = 50_000
"""Where no more rows may be found, each of them is compared: quicker, and nothing is missed."""
AT_ONCE = 1000
"""Rows that are fetched and compared together: for more, faiss and BLAS wake all threads, which costs more than it
saves where other work goes on."""
_BLOCK = 1 << 20
"""Bytes that are written at once."""
TRAINING_ROWS = 64
"""Rows that k-means sees for each cluster."""

faiss.omp_set_num_threads(min(faiss.omp_get_max_threads(), cpu_count()))  # it knows no container's share
Kind = Literal["exact", "ivf"]
logger = logging.getLogger(__name__)


def build_index(folder: Path, kind: Kind | None = None) -> Kind:
    """Write the index of the embeddings in a folder, and return its kind.

    kind: None is `exact` up to EXACT_ROWS rows, else `ivf`. Raises RetrievalError when the embeddings are not whole.
    """
    embeddings = EmbeddingFolder(folder)
    described, chosen = _describe(embeddings, kind)
    if has_index(embeddings, kind):
        return chosen
    clusters = described["clusters"]
    (folder / INDEX).unlink(missing_ok=True)
    for modality in MODALITIES:
        logger.info("indexing %d %s embeddings: %s", len(embeddings), modality, chosen)
        index = _make(embeddings, modality, clusters)
        with replacing(folder / f"{modality}.faiss") as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, _BLOCK))  # type: ignore[attr-defined]
    for name, column in (("hashes", "hash"), ("times", "time")):
        with replacing(folder / f"{name}.npy") as file:
            np.save(file, np.concatenate(list(embeddings.blocks(column))), allow_pickle=False)
    write_json(folder / INDEX, described | {"bytes": _sizes(folder)})
    return chosen


def has_index(embeddings: EmbeddingFolder, kind: Kind | None = None) -> bool:
    """Return whether the index of these embeddings is there, and of the kind that `build_index` would give it."""
    return _read(embeddings.folder) == _describe(embeddings, kind)[0] | {"bytes": _sizes(embeddings.folder)}


def _describe(embeddings: EmbeddingFolder, kind: Kind | None) -> tuple[dict[str, Any], Kind]:
    kind = kind or ("exact" if len(embeddings) <= EXACT_ROWS else "ivf")
    clusters = clusters_for(len(embeddings)) if kind == "ivf" else 0
    return {"kind": kind, "clusters": clusters, "embeddings": embeddings.digest}, kind


def clusters_for(rows: int) -> int:
    """Return the number of clusters for so many rows, a power of two."""
    return max(1, min(1 << round(log2(1.4 * sqrt(max(rows, 1)))), rows // TRAINING_ROWS))


def _make(embeddings: EmbeddingFolder, modality: str, clusters: int) -> Any:
    size = next(embeddings.blocks(modality)).shape[1]
    index: Any = faiss.index_factory(size, f"IVF{clusters},Flat" if clusters else "Flat", faiss.METRIC_INNER_PRODUCT)
    if clusters:
        share = min(1.0, clusters * TRAINING_ROWS / len(embeddings))
        rng = np.random.default_rng(0)
        index.cp.seed = 1
        index.train(np.concatenate([rows[rng.random(len(rows)) <= share] for rows in embeddings.blocks(modality)]))
    for rows in embeddings.blocks(modality):
        index.add(rows)
    if clusters:
        index.make_direct_map()  # from a row to its vector
    return index


def _pieces(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE))


def _sizes(folder: Path) -> dict[str, int]:
    paths = [folder / name for name in FILES]
    return {path.name: path.stat().st_size for path in paths if path.is_file()}


class _Described(TypedDict):
    kind: Kind
    clusters: Annotated[int, Field(ge=0, lt=2**31)]
    embeddings: str
    bytes: dict[str, int]


_DESCRIBED = TypeAdapter(_Described)
_HEADS = {"exact": b"IxFI", "ivf": b"IwFl"}
_FLAT_HEAD_BYTES = 45


def _read(folder: Path) -> _Described | None:
    try:
        return read_json(folder / INDEX, _DESCRIBED)
    except (OSError, ValueError):
        return None


def _require_head(path: Path, kind: Kind, rows: int, width: int) -> None:
    """Raise ValueError unless a file of faiss says of itself what is looked for; faiss believes what it says."""
    with open_file(path) as file:
        code, found_width, found_rows = struct.unpack("<4siq", file.read(16).ljust(16))
        size = os.fstat(file.fileno()).st_size
    if (code, found_width, found_rows) != (_HEADS[kind], width, rows):
        raise ValueError(f"{path.name} is no index of {rows} rows of {width} numbers")
    if kind == "exact" and size != _FLAT_HEAD_BYTES + 4 * rows * width:
        raise ValueError(f"{path.name} has {size} bytes")


class VectorIndex:
    """The index of embeddings, opened without reading it: the files are mapped into memory.

    Attributes:
        kind: `exact` or `ivf`.
        hashes: uint8 (M, 32), of the rows' pictures.
        times: float64 (M,), seconds.

    Raises:
        RetrievalError: when there is none, or it is of other embeddings.
    """

    def __init__(self, embeddings: EmbeddingFolder) -> None:
        folder, described = embeddings.folder, _read(embeddings.folder)
        if described is None or described["embeddings"] != embeddings.digest:
            what = "no index" if described is None else "an index of other embeddings"
            raise RetrievalError(f"{folder} has {what}; run the same avcorr embed again")
        self.kind: Kind = described["kind"]
        self._clusters, self._rows = described["clusters"], len(embeddings)
        if described["bytes"] != _sizes(folder):  # to read behind the end of a mapped file would kill the process
            raise RetrievalError(f"a file of the index in {folder} is cut or missing; run the same avcorr embed again")
        flag = faiss.IO_FLAG_MMAP if self.kind == "ivf" else faiss.IO_FLAG_MMAP_IFC
        try:
            for name in MODALITIES:
                _require_head(folder / f"{name}.faiss", self.kind, self._rows, embeddings.width)
            self._indices = {name: faiss.read_index(str(folder / f"{name}.faiss"), flag) for name in MODALITIES}
            self.hashes = np.load(folder / "hashes.npy", mmap_mode="r", allow_pickle=False)
            self.times = np.load(folder / "times.npy", mmap_mode="r", allow_pickle=False)
            for column, kind, shape in (
                (self.hashes, np.uint8, (self._rows, 32)),
                (self.times, np.float64, (self._rows,)),
            ):
                if column.dtype != kind or column.shape != shape:
                    raise ValueError(f"a column is {column.dtype} {column.shape}, not {kind.__name__} {shape}")
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            reason = str(error).splitlines()[0][:200]
            raise RetrievalError(
                f"{folder}/{INDEX} is of damaged files ({reason}); delete it and embed again"
            ) from error

    def dimension(self, modality: str) -> int:
        """Return the length of the vectors."""
        return int(self._indices[modality].d)

    def vectors(self, modality: str, rows: NDArray[np.int64]) -> Floats:
        """Return the vectors (B, D) of rows."""
        parts = [self._indices[modality].reconstruct_batch(part) for part in _pieces(rows)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimension(modality)), np.float32)

    def nearest(
        self, modality: str, vector: Floats, count: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], Floats]:
        """Return the rows nearest to a unit vector (D,), the nearest first, and their cosines; maybe fewer than count.

        modality: `image` or `audio`: what is looked through. allowed: which rows may be found; None: all.
        """
        if allowed is not None and len(allowed) <= FEW_ROWS:
            query = vector.astype(np.float32)
            parts = [self.vectors(modality, part) @ query for part in _pieces(allowed)]
            cosines = np.concatenate(parts) if parts else np.empty(0, np.float32)
            order = np.argsort(-cosines, kind="stable")[:count]
            return allowed[order], cosines[order]
        settings: dict[str, Any] = {}
        wanted = 0.0
        if allowed is not None:
            mask = np.zeros(self._rows, bool)
            mask[allowed] = True
            bits = np.packbits(mask, bitorder="little")  # has to live as long as the selector
            settings["sel"] = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            wanted = 10 * count / len(allowed)
        if self.kind == "exact":
            parameters: Any = faiss.SearchParameters(**settings)
        else:
            # The fewer rows are allowed, the more clusters must be looked through to meet enough of them.
            probes = min(self._clusters, max(16, round(self._clusters * max(1 / 16, wanted))))
            parameters = faiss.SearchParametersIVF(nprobe=probes, **settings)  # type: ignore[call-arg]
        count = min(count, self._rows)
        cosines, rows = self._indices[modality].search(vector[None].astype(np.float32), count, params=parameters)
        kept = rows[0] >= 0
        return rows[0][kept], cosines[0][kept]
