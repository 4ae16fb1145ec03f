"""Shards of every format version stay readable, byte for byte, and writing their clips again gives the same bytes."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.format.clip import FORMAT_VERSION, ClipMetadata
from avcorr.shards.index.layout import RECORDS, TABLES, ShardName
from avcorr.shards.reader import read_clips
from avcorr.shards.writer import ShardWriter
from tests.golden.make import NAME, describe
from tests.support.tables import keys_of, table_problems

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.stem for path in GOLDEN.glob("v*.json"))


def test_this_version_has_its_golden_shard() -> None:
    assert f"v{FORMAT_VERSION}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_shard_is_read_byte_for_byte(version: str) -> None:
    root, expected = GOLDEN / version, json.loads((GOLDEN / f"{version}.json").read_text(encoding="utf-8"))
    (record,) = Dataset(root).records
    assert hashlib.sha256((root / record.path).read_bytes()).hexdigest() == expected["sha256"] == record.sha256
    assert list(verify(root, full=True)) == []
    found = [describe(clip) for clip in read_clips(root, record)]
    assert len(found) == len(expected["clips"]) == 2
    for one, other in zip(found, expected["clips"], strict=True):
        assert {name: one["metadata"][name] for name in other["metadata"]} == other["metadata"]
        assert (one["wav_sha256"], one["frames_sha256"]) == (other["wav_sha256"], other["frames_sha256"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_is_read(version: str) -> None:
    root, expected = GOLDEN / version, json.loads((GOLDEN / f"{version}.json").read_text(encoding="utf-8"))
    assert not list(table_problems(root, Dataset(root).records[0]))
    clips, shard = Dataset(root).clips(), (root / NAME.path).read_bytes()
    for found, clip in zip(clips, expected["clips"], strict=True):
        assert found.frame_times.tolist() == [round(1e6 * time) for time in clip["metadata"]["frame_times"]]
        for frame, digest in enumerate(clip["frames_sha256"]):
            _, start, stop = found.frame(frame)
            assert hashlib.sha256(shard[start:stop]).hexdigest() == digest


def test_writing_the_same_clips_gives_the_same_bytes(tmp_path: Path) -> None:
    root = GOLDEN / f"v{FORMAT_VERSION}"
    (record,) = Dataset(root).records
    name = ShardName(NAME.dataset, NAME.split, NAME.number)
    with ShardWriter(tmp_path, name, keys_of(root, record)) as writer:
        for clip, row in zip(read_clips(root, record), record.ledger, strict=True):
            writer.add(clip, row)
        again = writer.publish()
    assert again == replace(record, table_sha256=again.table_sha256)
    assert (tmp_path / name.path).read_bytes() == (root / name.path).read_bytes()


def test_fields_of_later_revisions_are_ignored() -> None:
    root = GOLDEN / f"v{FORMAT_VERSION}"
    clip = next(read_clips(root, Dataset(root).records[0]))
    later = json.loads(clip.metadata.to_json()) | {"a_later_field": 1}
    assert ClipMetadata.from_json(json.dumps(later).encode()) == clip.metadata


def test_the_golden_dataset_is_committed_whole() -> None:
    """The hidden folder too, which a careless .gitignore would leave out."""
    root = GOLDEN / f"v{FORMAT_VERSION}"
    assert [path.name for path in (root / RECORDS).iterdir()] == [f"{NAME.stem}.json"]
    assert [path.name for path in (root / TABLES).iterdir()] == [f"{NAME.stem}.parquet"]
