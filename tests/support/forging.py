"""Forge files of each kind that the program believes in, and see what its readers make of them.

A forgery is drawn with Hypothesis: which kind of file, which of its fields or bytes, and what stands there instead.
Checksums, counts and exports are then made to vouch for it as far as they can, so that only its content betrays it.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image

import avcorr
from avcorr.configs.load import load_config
from avcorr.errors import Error
from avcorr.model.correspondence import make_model
from avcorr.model.saving.checkpoint import Checkpoint, latest_checkpoint, load_model, save_checkpoint
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import FORMAT_VERSION, MEMBERS, Clip, ClipMetadata
from avcorr.shards.format.tar import closing, encode_member
from avcorr.shards.index import clip_table
from avcorr.shards.index.layout import DATASET, LEDGER, MANIFEST, ShardName, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.writer import ShardWriter
from avcorr.webdataset import decode
from tests.golden.make import make_clip
from tests.support.embeddings import make_embeddings
from tests.support.reports import fabricate_run

INDEX = ("dataset.json", "manifest", "record", "ledger", "table")
CONTRADICTIONS = (
    "ledger", "checksum", "export", "its clips are not those of the record", "it does not say what the shard holds",
    "are not as their records say", "of the dataset's", "has the digest", "unfinished", "duplicate_key", "split",
)  # fmt: skip
"""What `verify` says where each file is sound by itself and another one says otherwise: no reader reads both."""
SECONDS, MEMORY = 10, 1 << 30
"""What a reader may take: time, and memory besides what the process has."""
NAMES = (ShardName("forged", "train", 0), ShardName("forged", "train", 1))
NAME = NAMES[0]
Draw = Callable[[st.SearchStrategy[Any]], Any]
TEXTS = (
    "", "x", "x" * 100_000,
    "\0", "\x1b[2J\x1b[31mall well", "\u202eevil", "a\nb", "../../../../etc/passwd", "/dev/zero",
    "/etc/passwd", "train", "nan", "é" * 60, "\ud800", "<script>alert(1)</script>", "train/forged-train-000009.tar",
)  # fmt: skip
NUMBERS = (
    -(2**63), -1, 0, 1, 2, 3, 16, 43, 44, 255, 512, 65_500, 65_536, 2**24, 2**26, 2**30, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 0.0, -0.0, 0.5, -1.0, 1e-300, 1e12, 1e308,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
LEAVES = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from([None, True, False]))
NASTY = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=3),
    st.dictionaries(st.sampled_from(["format", "key", "x", ""]), LEAVES, max_size=2),
)


def derived(draw: Draw, value: Any) -> Any:
    """Draw a value that is nearly the one that it replaces."""
    if isinstance(value, bool) or value is None:
        return draw(st.sampled_from([not value, int(bool(value)), str(value)]))
    if isinstance(value, int | float):
        other = st.sampled_from(
            [value + 1, value - 1, -value, 2 * value, value + 1e-6, float(value), str(value), [value]]
        )
        return draw(other)
    if isinstance(value, str):
        return draw(
            st.sampled_from([value + "x", value[1:], value.upper(), f" {value}", [value], value * 2, value[::-1]])
        )
    if isinstance(value, list):
        changed = [
            value[::-1],
            value[:-1],
            value[1:],
            value * 2,
            [*value, *value[-1:]],
            [],
            [None, *value[1:]],
            [[]],
            {},
        ]
        if value:
            index = draw(st.integers(0, len(value) - 1))
            element = draw(NASTY) if draw(st.booleans()) else derived(draw, value[index])
            changed += 6 * [[*value[:index], element, *value[index + 1 :]]]
        return draw(st.sampled_from(changed))
    return draw(st.sampled_from([[value], {}, [], {"x": value}, list(value)]))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside a document, four elements of a list at most."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, element in inner:
        yield (*path, key)
        yield from places(element, (*path, key))


def edit(draw: Draw, document: Any) -> Any:
    """Draw a document in which one field is replaced, taken away or added."""
    document = json.loads(json.dumps(document)) if not _has_tensor(document) else _copied(document)
    found = list(places(document))
    if not found:
        return draw(NASTY)
    *parents, last = draw(st.sampled_from(found))
    holder = document
    for key in parents:
        holder = holder[key]
    action = draw(st.sampled_from(["nasty", "nasty", "derived", "derived", "derived", "drop", "add"]))
    if action == "drop":
        del holder[last]
    elif action == "add" and isinstance(holder, dict):
        holder[draw(st.sampled_from(["x", "format", "", "key"]))] = draw(NASTY)
    elif action == "derived" and not isinstance(holder[last], torch.Tensor):
        holder[last] = derived(draw, holder[last])
    else:
        holder[last] = draw(NASTY)
    return document


def _has_tensor(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_tensor, value.values() if isinstance(value, dict) else value))
    return isinstance(value, torch.Tensor)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def damage(draw: Draw, data: bytes) -> bytes:
    """Draw a file whose bytes are changed, whatever they mean."""
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    choices: dict[str, Callable[[], bytes]] = {
        "cut": lambda: data[:place],
        "flip": lambda: data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :],
        "insert": lambda: data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:],
        "remove": lambda: data[:place] + data[place + draw(st.integers(1, 64)) :],
        "repeat": lambda: data + data,
        "append": lambda: data + draw(st.sampled_from([b"\0", b"\n", b"x" * 1000, bytes(10_240)])),
        "empty": lambda: b"",
        "zeros": lambda: bytes(len(data)),
        "large": lambda: data + b" " * (3 << 20),
        "nested": lambda: b"[" * 100_000,
        "nested deeper": lambda: b'{"a":' * 100_000,
        "page": lambda: b"<!DOCTYPE html><html><body>log in</body></html>",
        "gzip": lambda: gzip.compress(data, mtime=0),
        "utf-16": lambda: data.decode("latin-1").encode("utf-16"),
        "BOM": lambda: b"\xef\xbb\xbf" + data,
        "twice": lambda: data.replace(b"{", b'{"format": 7, "format": 1, "x": NaN,', 1),
        "number": lambda: data.replace(b"1", b"9" * 5000, 1),
        "text": lambda: data.replace(b"a", b"\xff", 1),
    }  # fmt: skip
    return choices[draw(st.sampled_from(sorted(choices)))]() if data else b"x"


def document_of(draw: Draw, data: bytes) -> bytes:
    """Draw a JSON file with one field or some bytes changed."""
    if draw(st.integers(0, 3)) == 0:
        return damage(draw, data)
    try:
        return json.dumps(edit(draw, json.loads(data)), ensure_ascii=draw(st.booleans())).encode(
            "utf-8", "surrogatepass"
        )
    except ValueError:  # the file is lines of JSON
        lines = data.splitlines()
        number = draw(st.integers(0, len(lines) - 1))
        lines[number] = json.dumps(edit(draw, json.loads(lines[number]))).encode()
        return b"\n".join(lines) + b"\n"


def table_of(draw: Draw, data: bytes) -> bytes:
    """Draw a table with a column or some values changed; a Parquet file that another program might have written."""
    table = pq.read_table(io.BytesIO(data))
    name = draw(st.sampled_from(table.column_names))
    place = table.schema.get_field_index(name)
    action = draw(
        st.sampled_from(["cell"] * 8 + ["column", "drop", "rename", "cast", "rows", "order", "null", "bomb", "raw"])
    )
    values = table[name].to_pylist()
    if action == "raw":
        return damage(draw, data)
    if action == "drop":
        table = table.remove_column(place)
    elif action == "rename":
        table = table.rename_columns([f"{each}x" if each == name else each for each in table.column_names])
    elif action == "order":
        table = table.select(table.column_names[::-1])
    elif action == "rows":
        rows = draw(st.sampled_from([[0, 0, 1], [2, 1, 0], [0, 1], [], [0, 1, 2, 2]]))
        table = pa.concat_tables([table.slice(row, 1) for row in rows]) if rows else table.slice(0, 0)
    elif action == "bomb":
        text = pa.DictionaryArray.from_arrays(pa.array([0] * table.num_rows), pa.array(["x" * (200 << 20)]))
        table = table.set_column(place, name, text.cast(pa.large_string()) if draw(st.booleans()) else text)
    else:
        row = draw(st.integers(0, len(values) - 1))
        if action == "cell":
            values[row] = draw(NASTY) if draw(st.booleans()) else derived(draw, values[row])
        elif action == "column":
            values = [draw(NASTY)] * len(values)
        elif action == "null":
            values[row] = None
        elif action == "cast":
            values = [str(value) for value in values]
        table = table.set_column(place, *_column(name, values, table.schema.field(name)))
    file = io.BytesIO()
    try:
        pq.write_table(table, file, compression=draw(st.sampled_from(["zstd", "none", "snappy"])))
    except pa.ArrowException:  # a type that Parquet has not
        return damage(draw, data)
    return file.getvalue()


def _column(name: str, values: list[Any], wanted: pa.Field) -> tuple[pa.Field, pa.Array]:
    """Return the values as the type of the column where they can be, else as whatever holds them."""
    for kind in (wanted.type, None, pa.string()):
        with contextlib.suppress(pa.ArrowException, ValueError, TypeError, OverflowError):
            given = [None if value is None else str(value) for value in values] if kind == pa.string() else values
            array = pa.array(given, kind)
            return pa.field(name, array.type, nullable=array.null_count > 0 or wanted.nullable), array
    return wanted.with_type(pa.null()).with_nullable(True), pa.nulls(len(values))


def jpeg_of(draw: Draw, jpeg: bytes) -> bytes:
    """Draw a JPEG that is not what the metadata say, or no whole one."""
    frame = jpeg.index(b"\xff\xc0")
    pixels = Image.open(io.BytesIO(jpeg))
    height, width = (draw(st.sampled_from([0, 1, 8, 12, 16, 13, 65_500])) for _ in range(2))

    def saved(mode: str, **options: Any) -> bytes:
        file = io.BytesIO()
        pixels.convert(mode).save(file, "JPEG", **options)
        return file.getvalue()

    choices: dict[str, Callable[[], bytes]] = {
        "size": lambda: jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :],
        "cut": lambda: jpeg[: 2 * len(jpeg) // 3] + b"\xff\xd9",
        "cut in the scan": lambda: jpeg[:-12] + b"\xff\xd9",
        "kind": lambda: jpeg.replace(b"\xff\xc0", draw(st.sampled_from([b"\xff\xc2", b"\xff\xc1", b"\xff\xc9"])), 1),
        "components": lambda: jpeg[: frame + 9] + bytes([draw(st.integers(0, 255))]) + jpeg[frame + 10 :],
        "sampling": lambda: jpeg[: frame + 11] + bytes([draw(st.integers(0, 255))]) + jpeg[frame + 12 :],
        "depth": lambda: jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :],
        "no start": lambda: jpeg[2:],
        "no end": lambda: jpeg[:-2],
        "two": lambda: jpeg + jpeg,
        "after": lambda: jpeg + b"junk",
        "picture": lambda: b"\x89PNG\r\n\x1a\n" + jpeg[8:],
        "grey": lambda: saved("L"),
        "CMYK": lambda: saved("CMYK"),
        "progressive": lambda: saved("RGB", progressive=True),
        "other sampling": lambda: saved("RGB", subsampling=draw(st.integers(0, 2))),
        "comment": lambda: jpeg[:2] + b"\xff\xfe\x00\x06abcd" + jpeg[2:],
        "bytes": lambda: damage(draw, jpeg),
    }  # fmt: skip
    return choices[draw(st.sampled_from(sorted(choices)))]()


class Parts(NamedTuple):
    """A clip's members before they are packed."""

    metadata: dict[str, Any]
    wav: bytes
    jpegs: list[bytes]


def pack(root: Path, clips: list[Parts], *, agree: bool) -> None:
    """Put other clips into the first shard; `agree`: the table says what the metadata say."""
    stream, rows = bytearray(), []
    for clip in clips:
        metadata, row = clip.metadata, dict(clip.metadata)
        key, mjpg = metadata.get("key"), b"".join(clip.jpegs)
        name = (
            key if isinstance(key, str) and 0 < len(key.encode("utf-8", "replace")) < 90 and key.isprintable() else "vX"
        )
        members = (json.dumps(metadata, ensure_ascii=False).encode("utf-8", "replace"), clip.wav, mjpg)
        for suffix, data in zip(("json", "wav", "mjpg"), members, strict=True):
            row |= {f"{suffix}_offset": len(stream) + 512, f"{suffix}_size": len(data)}
            stream += encode_member(f"{name}.{suffix}", data)
        rows.append(row)
    tar = bytes(stream + closing(len(stream)))
    (root / NAME.path).write_bytes(tar)
    table = pq.read_table(root / NAME.table)
    for field in table.schema if agree else [each for each in table.schema if each.name.endswith(("_offset", "_size"))]:
        before = table[field.name].to_pylist()
        values = [row.get(field.name, old) for row, old in zip(rows, before, strict=True)]
        table = table.set_column(table.schema.get_field_index(field.name), *_column(field.name, values, field))
    file = io.BytesIO()
    with contextlib.suppress(pa.ArrowException):  # what no table can hold is in the tar alone
        pq.write_table(table, file)
        (root / NAME.table).write_bytes(file.getvalue())
    vouch(root)


def vouch(root: Path) -> None:
    """Let record, manifest and exports agree with tar and table as they are now, as far as that is possible."""
    tar, table = (root / NAME.path).read_bytes(), (root / NAME.table).read_bytes()
    sums: dict[str, Any] = {
        "size": len(tar), "sha256": hashlib.sha256(tar).hexdigest(), "md5": hashlib.md5(tar).hexdigest(),
        "table_sha256": hashlib.sha256(table).hexdigest(),
    }  # fmt: skip
    with contextlib.suppress(Exception):  # a digest of what is no table
        sums["clips_digest"] = clip_table.digest_of(pq.read_table(io.BytesIO(table)))
    for path in (root / NAME.record, root / MANIFEST):
        values = json.loads(path.read_bytes())
        entry = values if path.name != Path(MANIFEST).name else values["shards"][0]
        entry |= sums
        path.write_text(json.dumps(values))
    with contextlib.suppress(Exception):
        finish_dataset(root)


class Base(NamedTuple):
    """What is forged: whole files that the program itself has written."""

    dataset: Path
    run: Path
    embeddings: Path
    video_list: Path


def make_base(folder: Path) -> Base:
    """Write a dataset of two shards, a run with its evaluation, embeddings and a list of videos."""
    root = folder / "dataset"
    write_json(
        root / DATASET, {"format": FORMAT_VERSION, "settings": {"name": NAME.dataset}, "ffmpeg": "7.1", "inputs": 6}
    )
    rows = []
    for name, numbers in zip(NAMES, ((1, 2, 3), (4, 5, 6)), strict=True):
        clips = [_clip(number) for number in numbers]
        own = [{"key": clip.key, "source": clip.metadata.source, "split": "train", "status": "packed", "code": ""}
               for clip in clips]  # fmt: skip
        with ShardWriter(root, name, [clip.key for clip in clips]) as writer:
            for clip, row in zip(clips, own, strict=True):
                writer.add(clip, row)
            writer.publish()
        rows += own
    write_ledger(root, rows)
    finish_dataset(root)
    run = fabricate_run(folder / "run", steps=100)
    small = {"sample_rate": 4000, "window": 256, "hop": 160, "mel_bins": 32}
    overrides: dict[str, Any] = {f"model.spectrogram.{name}": value for name, value in small.items()}
    config = load_config(None, overrides | {"model.width": 8, "model.embedding_size": 16, "shard.sample_rate": 4000})
    model = make_model(config.model)
    optimizer = torch.optim.Adam(model.parameters()).state_dict()
    save_checkpoint(run, Checkpoint(3, model.state_dict(), optimizer, config.model_dump(), {"pair_loss": 0.6}), keep=2)
    make_embeddings(folder / "embeddings", clips=12, views=2, classes=3)
    videos = folder / "list.csv"
    videos.write_text("path,label,split,start,end,caption\n" + "".join(
        f"clip{number}.mp4,label {number % 3},{'train' if number % 4 else 'test'},{number},{number + 10},words\n"
        for number in range(8)
    ))  # fmt: skip
    return Base(root, run, folder / "embeddings", videos)


class Forgery(NamedTuple):
    """A forged copy in a work folder, and what was forged."""

    kind: str
    path: Path
    """The dataset, the run, the folder of embeddings, the configuration or the list."""


KINDS = (
    "dataset.json", "manifest", "record", "ledger", "table", "table", "table", "metadata", "metadata", "sound",
    "picture", "picture", "tar", "odd file", "checkpoint", "checkpoint", "run", "run", "configuration", "embeddings",
    "list",
)  # fmt: skip


def forge(draw: Draw, base: Base, work: Path) -> Forgery:
    """Draw a forgery and write it into an empty folder."""
    kind = draw(st.sampled_from(KINDS))
    if kind in ("checkpoint", "run"):
        return Forgery(kind, _forge_run(draw, base.run, work / "run", kind))
    if kind == "embeddings":
        target = _copy(base.embeddings, work / "embeddings")
        path = draw(st.sampled_from(sorted(path for path in target.iterdir())))
        data = path.read_bytes()
        _replace(path, document_of(draw, data) if path.suffix in (".json", ".jsonl") else damage(draw, data))
        return Forgery(kind, target)
    if kind == "configuration":
        path = work / "config.yaml"
        values = edit(draw, {"train": {"steps": 10, "device": "cpu"}, "pairs": {"workers": 0}, "shard": {"name": "x"}})
        text = (
            yaml.safe_dump(values).encode("utf-8", "surrogatepass") if draw(st.booleans()) else b"train: {steps: 10}\n"
        )
        path.write_bytes(damage(draw, text) if draw(st.booleans()) else text)
        return Forgery(kind, path)
    if kind == "list":
        path = work / "list.csv"
        path.write_bytes(damage(draw, base.video_list.read_bytes()))
        return Forgery(kind, path)
    return Forgery(kind, _forge_dataset(draw, base.dataset, work / "dataset", kind))


def _forge_dataset(draw: Draw, base: Path, root: Path, kind: str) -> Path:
    _copy(base, root)
    names = {"dataset.json": DATASET, "manifest": MANIFEST, "record": NAME.record, "ledger": LEDGER}
    if kind in names:
        path = root / names[kind]
        _replace(path, document_of(draw, path.read_bytes()))
        return root
    if kind == "table":
        _replace(root / NAME.table, table_of(draw, (root / NAME.table).read_bytes()))
        vouch(root)
        return root
    if kind == "tar":
        _replace(root / NAME.path, damage(draw, (root / NAME.path).read_bytes()))
        if draw(st.booleans()):
            vouch(root)
        return root
    if kind == "odd file":
        path = root / draw(
            st.sampled_from([DATASET, MANIFEST, NAME.record, LEDGER, NAME.table, NAME.path, "README.md"])
        )
        path.unlink()
        what = draw(st.sampled_from(["pipe", "folder", "zeros", "nothing", "itself"]))
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what != "nothing":
            path.symlink_to("/dev/zero" if what == "zeros" else path)
        return root
    clips = [_parts(number) for number in (1, 2, 3)]
    clip = clips[draw(st.integers(0, 2))]
    if kind == "metadata":
        clips[clips.index(clip)] = clip._replace(metadata=edit(draw, clip.metadata))
    elif kind == "sound":
        clips[clips.index(clip)] = clip._replace(wav=damage(draw, clip.wav))
    else:
        number = draw(st.integers(0, len(clip.jpegs) - 1))
        jpegs = [jpeg_of(draw, jpeg) if place == number else jpeg for place, jpeg in enumerate(clip.jpegs)]
        offsets = [sum(map(len, jpegs[:place])) for place in range(len(jpegs) + 1)]
        told = clip.metadata | {"frame_offsets": offsets}
        with contextlib.suppress(ValueError):  # let the metadata claim what the header claims
            if draw(st.booleans()):
                told["height"], told["width"] = simplejpeg.decode_jpeg_header(jpegs[number])[:2]
        clips[clips.index(clip)] = clip._replace(jpegs=jpegs, metadata=told)
    pack(root, clips, agree=draw(st.booleans()) or kind == "picture")
    return root


def _parts(number: int) -> Parts:
    """Return the golden dataset's clip of a number with larger frames, which a stream of pairs can crop."""
    clip = make_clip(number)
    rows, columns = np.mgrid[0:16, 0:20]
    jpegs = []
    for frame in range(clip.metadata.frame_count):
        picture = np.stack((rows * 15, columns * 12, rows * 0 + 20 * frame + 20 * number), axis=-1).astype(np.uint8)
        jpegs.append(simplejpeg.encode_jpeg(picture, quality=80, colorspace="RGB"))
    size = {"width": 20, "height": 16, "frame_offsets": [sum(map(len, jpegs[:n])) for n in range(len(jpegs) + 1)]}
    return Parts(asdict(clip.metadata) | size, clip.wav, jpegs)


def _clip(number: int) -> Clip:
    metadata, wav, jpegs = _parts(number)
    return Clip(ClipMetadata(**metadata), wav, b"".join(jpegs))


def _forge_run(draw: Draw, base: Path, run: Path, kind: str) -> Path:
    _copy(base, run)
    checkpoint = next((run / "checkpoints").glob("*.pt"))
    if kind == "run":
        texts = sorted(path for path in run.rglob("*") if path.suffix in (".json", ".jsonl", ".yaml"))
        media = sorted(path for path in run.rglob("media/*"))
        path = draw(st.sampled_from(texts + media[:3]))
        data = path.read_bytes()
        _replace(path, document_of(draw, data) if path.suffix in (".json", ".jsonl") else damage(draw, data))
        return run
    data = checkpoint.read_bytes()
    action = draw(st.sampled_from(["edit", "edit", "edit", "tensor", "tensor", "settings", "deflated", "bytes"]))
    if action == "bytes":
        _replace(checkpoint, damage(draw, data))
        return run
    if action == "deflated":
        file = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(data)) as old,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
        ):
            largest = max(old.infolist(), key=lambda info: info.file_size)
            for info in old.infolist():
                new.writestr(info.filename, bytes(256 << 20) if info is largest else old.read(info))
        _replace(checkpoint, file.getvalue())
        return run
    content = torch.load(io.BytesIO(data), weights_only=True)
    if action == "settings":
        content["config"]["model"] = edit(draw, content["config"]["model"])
    elif action == "edit":
        content = edit(draw, content)
    else:
        name = draw(st.sampled_from(sorted(content["model"])))
        old = content["model"][name]
        new: Callable[[], Any] = draw(st.sampled_from([
            lambda: old.to(torch.complex64), lambda: old.to(torch.float64), lambda: old.reshape(-1)[:1],
            lambda: old.tolist(), lambda: torch.empty_like(old, device="meta"), lambda: old.to_sparse(),
            lambda: old.to(torch.int8), lambda: torch.full_like(old, 100).div(0), lambda: torch.zeros(0),
            lambda: torch.ones(1).expand(1 << 40),
        ]))  # fmt: skip
        content["model"][name] = new()
    file = io.BytesIO()
    with contextlib.suppress(Exception):  # what cannot be saved cannot be found
        torch.save(content, file)
        _replace(checkpoint, file.getvalue())
    return run


def _copy(base: Path, target: Path) -> Path:
    shutil.copytree(base, target)
    return target


def _replace(path: Path, data: bytes) -> None:
    """Write other bytes, and another file, under a name."""
    path.unlink()
    path.write_bytes(data)


def readers(forgery: Forgery) -> dict[str, Callable[[], Any]]:
    """Return what reads a kind of forgery, `full` and `quick` being `verify`; each raises Error or gives a value."""
    path = forgery.path
    if forgery.kind in ("checkpoint", "run"):
        return {
            "checkpoint": lambda: latest_checkpoint(path).step,
            "best": lambda: load_model(path, torch.device("cpu"), best=True)[2],
            "compare": lambda: avcorr.compare([path]),
        } | ({"report": lambda: avcorr.report(path).stat().st_size} if forgery.kind == "run" else {})
    if forgery.kind == "embeddings":
        return {"search": lambda: avcorr.search(path, "v000001", top=2)}
    if forgery.kind == "configuration":
        return {"settings": lambda: load_config(path)}
    if forgery.kind == "list":
        return {"plan": lambda: avcorr.estimate(path)}
    return {
        "quick": lambda: _verified(path, full=False),
        "full": lambda: _verified(path, full=True),
        "info": lambda: avcorr.info(path),
        "clips": lambda: _read_clips(path),
        "pairs": lambda: _read_pairs(path),
    }


def _verified(root: Path, *, full: bool) -> None:
    found = avcorr.verify(root, full=full)
    if not found.ok:
        raise Error(f"verify: {found.failures[0].code}: {found.failures[0].message}")


def _read_clips(root: Path) -> list[Any]:
    dataset, read, decoder = avcorr.open(root), [], decode()
    for entry in dataset.clips():
        (clip,) = dataset.read([entry])
        members = dataset.store.read_ranges([entry.member(suffix) for suffix in MEMBERS])
        sample = decoder({"__key__": entry.key, **dict(zip(MEMBERS, members, strict=True))})
        read.append((clip.key, clip.metadata.label, sample["frames"].shape, sample["audio"].shape))
    return read


def _read_pairs(root: Path) -> Any:
    small = {"pairs.frame_size": 16, "pairs.workers": 0, "pairs.window_seconds": 0.2}
    return next(iter(avcorr.pairs(root, settings=small, batch_size=4))).frames.shape


class Fault(NamedTuple):
    """A reader that did what none may do."""

    kind: str
    signature: str
    """Equal for faults that are most likely one."""
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.signature}\n{self.detail}"


class _TooLongError(BaseException):
    """The time of a reader is over."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Give a block 10 seconds and 1 GB more memory than the process has."""

    def stop(*_: object) -> None:
        raise _TooLongError

    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    before = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def _try(reader: Callable[[], Any]) -> tuple[str, Any]:
    """Return what came of a reader: `taken` with its value, `refused` with the error, or a fault with its detail."""
    try:
        with _limited():
            return "taken", reader()
    except Error as error:
        text = str(error)
        lines = text.splitlines()  # a configuration has a line for each mistake
        if len(lines) > 20 or len(text) > 3000 or not all(line.isprintable() for line in lines):
            return "an error that is long or not printable", f"{len(text)} characters: {text[:2000]!r}"
        return "refused", text
    except _TooLongError:
        return f"more than {SECONDS} s", traceback.format_exc(limit=-6)
    except MemoryError:
        return "more than 1 GB", traceback.format_exc(limit=-6)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(last) if "/avcorr/" in frame.filename), last[-1])
        return f"{type(error).__name__} at {Path(own.filename).name}:{own.name}", traceback.format_exc(limit=-8)


def judge(forgery: Forgery, sound: dict[str, Any]) -> tuple[str, list[Fault]]:
    """Let every reader read a forgery; return in a word what came of it, and what is wrong with that.

    Args:
        sound: what each reader gives of the file that was forged.
    """
    outcomes = {name: _try(reader) for name, reader in readers(forgery).items()}
    faults = [
        Fault(forgery.kind, f"{name}: {outcome}", str(detail))
        for name, (outcome, detail) in outcomes.items()
        if outcome not in ("taken", "refused")
    ]
    if "full" in outcomes and not faults:
        full, why = outcomes["full"]
        others = {name: each for name, each in outcomes.items() if name not in ("full", "quick")}
        if outcomes["quick"][0] == "taken" and forgery.kind in INDEX:
            faults += [
                Fault(forgery.kind, f"quick passes what {name} refuses", text)
                for name, (outcome, text) in others.items()
                if outcome == "refused" and ".tar" not in text  # which it does not read
            ]
        if full == "taken":
            faults += [
                Fault(forgery.kind, f"full passes what {name} refuses", text)
                for name, (outcome, text) in (others | {"quick": outcomes["quick"]}).items()
                if outcome == "refused"
            ]
        else:
            code, _, text = why.removeprefix("verify: ").partition(": ")
            taken = [name for name, (outcome, value) in others.items() if outcome == "taken" and value != sound[name]]
            if code in CONTRADICTIONS or any(words in text for words in CONTRADICTIONS):
                return f"contradicts, {'taken' if taken else 'refused'}", faults
            media = forgery.kind in ("metadata", "sound", "picture", "tar", "odd file")
            needed = ("clips",) if media else ("clips", "pairs")
            faults += [
                Fault(forgery.kind, f"{name} takes what full refuses ({code})", why) for name in taken if name in needed
            ]
    return "refused" if any(outcome == "refused" for outcome, _ in outcomes.values()) else "taken", faults


def run_forgeries(
    base: Base, folder: Path, inputs: int, seed: int, keep: Path | None = None,
    on_fault: Callable[[Fault], object] = lambda fault: None,
) -> Counter[str]:  # fmt: skip
    """Draw so many forgeries and judge each; return how many of each kind were taken and refused.

    Args:
        base: of `make_base`.
        folder: an empty one to work in.
        keep: a folder for forgeries at fault, each under its signature; None: they are not kept.
    """
    counts, sound = Counter[str](), {}
    work = folder / "work"
    for kind in dict.fromkeys(KINDS):
        for name, reader in readers(Forgery(kind, _path_of(base, kind))).items():
            sound[name] = reader()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=inputs, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.given(st.data())
    def each(data: st.DataObject) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        forgery = forge(data.draw, base, work)
        outcome, faults = judge(forgery, sound)
        counts[f"{forgery.kind} {outcome}"] += 1
        for fault in faults:
            on_fault(fault)
            if keep:
                target = keep / re.sub(r"\W+", "-", f"{fault.kind}-{fault.signature}")
                if not target.exists():
                    keep.mkdir(parents=True, exist_ok=True)
                    with contextlib.suppress(OSError, shutil.Error):
                        shutil.copytree(work, target, symlinks=True)

    each()
    return counts


def _path_of(base: Base, kind: str) -> Path:
    """Return the sound file or folder that a kind of forgery is made of."""
    if kind in ("checkpoint", "run"):
        return base.run
    if kind == "configuration":
        return base.run / "config.yaml"
    return {"embeddings": base.embeddings, "list": base.video_list}.get(kind, base.dataset)
