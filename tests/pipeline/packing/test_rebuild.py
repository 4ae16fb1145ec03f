"""A lost index, made again from the shards."""

import os
import shutil
from pathlib import Path

import pytest

from avcorr.pipeline.packing.rebuild import rebuild_index
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import DatasetMismatchError, ShardFormatError
from avcorr.shards.index.layout import INDEX
from tests.support.damage import NAME


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    """Shards as `cp -r ROOT/*` once left them."""
    shutil.copytree(shards, tmp_path / "root", ignore=shutil.ignore_patterns(INDEX, ".avcorr"))
    return tmp_path / "root"


def test_a_lost_index_is_what_it_was_but_for_the_ledger(root: Path, shards: Path) -> None:
    """C7."""
    rebuild_index(root)
    assert Dataset(root).shards == Dataset(shards).shards
    for path in (shards / INDEX / "clips").iterdir():
        assert (root / path.relative_to(shards)).read_bytes() == path.read_bytes()
    found, before = Dataset(root).facts, Dataset(shards).facts
    assert found.ffmpeg == before.ffmpeg and found.settings.items() <= before.settings.items()
    assert list(verify(root, full=True)) == []
    assert {row["status"] for record in Dataset(root).records for row in record.ledger} == {"packed"}
    with pytest.raises(DatasetMismatchError, match="has its index.*avcorr repair"):
        rebuild_index(root)


def test_of_a_damaged_shard_no_index_is_made_and_the_next_run_goes_on(root: Path, shards: Path) -> None:
    os.truncate(root / NAME.path, 10240)
    with pytest.raises(ShardFormatError, match=r"train-000000\.tar.* is damaged .*move it elsewhere"):
        rebuild_index(root)
    with pytest.raises(DatasetMismatchError, match="avcorr index"):
        Dataset(root)
    shutil.copy(shards / NAME.path, root / NAME.path)
    rebuild_index(root)
    assert Dataset(root).shards == Dataset(shards).shards


def test_tars_that_are_no_shards_of_one_dataset_are_refused(root: Path) -> None:
    for name in ("train/other-train-000000.tar", "train/x.tar"):
        shutil.copy(root / NAME.path, root / name)
        with pytest.raises(DatasetMismatchError, match="clips and other|'train/x.tar' is no path of a shard"):
            rebuild_index(root)
    shutil.rmtree(root / "train")
    shutil.rmtree(root / "test")
    with pytest.raises(DatasetMismatchError, match="there are those of none"):
        rebuild_index(root)
