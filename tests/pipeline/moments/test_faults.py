"""Pairs from a store that fails: the same pairs as from a folder, or one line that says why not."""

import gc
import os
import random
import shutil
from contextlib import suppress
from itertools import islice
from pathlib import Path

import obstore
import pytest

from avcorr.pipeline.correspondence.pairs import PairBatch
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ObjectChangedError, ShardTruncatedError
from avcorr.shards.reader import read_clips
from avcorr.shards.store import RetryPolicy
from avcorr.shards.stores.open import open_store
from tests.pipeline.moments.test_sampler import damage, digest
from tests.pipeline.moments.test_stages import loader_of
from tests.shards.stores.test_dataset import CUTS, upload
from tests.support.commands import TINY, command
from tests.support.proxy import Fault, FaultyProxy, Request
from tests.support.servers import S3Server, http_server
from tests.support.tables import offsets_of

POLICY = RetryPolicy(attempts=8, first_wait=0.01, longest_wait=0.05, stall_seconds=2)
SECOND = "train/clips-train-000001.tar"


@pytest.mark.parametrize("block_clips", [0, 4])
def test_faults_change_no_pair(through: FaultyProxy, shards: Path, block_clips: int) -> None:
    draw = random.Random(1)

    def sometimes(request: Request) -> Fault | None:
        kinds = [Fault("fin", draw.randrange(300_000)), Fault("rst", draw.randrange(300_000)), Fault("status")]
        return draw.choice(kinds) if draw.random() < 0.4 else None

    loader = loader_of(open_store("s3://stages/clips", retry=POLICY), block_clips=block_clips)
    through.reset(sometimes)
    found = list(islice(loader, 30))
    assert digest(found) == digest(list(islice(loader_of(shards, block_clips=block_clips), 30)))
    assert loader.report()["data_read_retries"] > 2


def test_a_hundred_reads_from_a_web_server_that_hangs_up_lose_nothing(shards: Path) -> None:
    """It promises all and hangs up at a clip's edge, in a header or in data; others then lose clips without a word."""
    record = Dataset(shards).of_split("train")[0]
    whole = [(clip.metadata, clip.wav, clip.mjpg) for clip in read_clips(shards, record)]
    places = [offset + inside for offset in offsets_of(shards, record) for inside in (0, 100, 2000)]
    with http_server(shards) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        before = FaultyProxy((host, int(port)))
        store = open_store(before.url, retry=POLICY)
        for number in range(100):
            kind = ("fin", "rst")[number % 2]
            fault = Fault(kind, places[number % len(places)])
            before.reset(lambda request, fault=fault: fault if request.number == 0 else None)  # type: ignore[misc]
            assert [(clip.metadata, clip.wav, clip.mjpg) for clip in read_clips(store, record)] == whole, number
        before.close()


@pytest.mark.parametrize("name", sorted(CUTS.keys() - {"a block changed to zeros"}))
def test_every_cut_ends_the_stream_in_one_line(tmp_path: Path, shards: Path, name: str) -> None:
    """The rows of a table in which every other reader loses clips without a word."""
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    offsets = offsets_of(shards, Dataset(shards).of_split("train")[1])
    (root / SECOND).write_bytes(CUTS[name]((root / SECOND).read_bytes(), offsets))
    with pytest.raises(ShardTruncatedError, match=r"clips-train-000001\.tar has \d+ bytes; its index says") as caught:
        list(islice(loader_of(root), 30))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["gone", "short", "no end"])
def test_a_bad_shard_in_a_bucket_is_told_or_passed_over(
    tmp_path: Path, shards: Path, s3: S3Server, aws: None, how: str
) -> None:
    shutil.copytree(shards, tmp_path / "root")
    damage(tmp_path / "root", how)
    bucket = f"bad-{how}".replace(" ", "-")
    upload(tmp_path / "root", s3.make_bucket(bucket), "clips")
    with pytest.raises(ShardTruncatedError, match=r"clips-train-000001\.tar") as caught:
        list(islice(loader_of(f"s3://{bucket}/clips"), 30))
    assert "\n" not in str(caught.value)
    loader = loader_of(f"s3://{bucket}/clips", max_bad_shards=1)
    assert len(list(islice(loader, 10))) == 10
    assert list(loader.bad_shards) == [SECOND] and loader.report()["data_bad_shards"] == 1


def test_a_shard_that_is_replaced_while_it_is_trained_on_is_told_or_passed_over(
    shards: Path, s3: S3Server, aws: None
) -> None:
    client = s3.make_bucket("replaced")
    upload(shards, client, "clips")
    data = (shards / SECOND).read_bytes()
    for allowed in (0, 1):
        obstore.put(client, f"clips/{SECOND}", data)
        loader = loader_of("s3://replaced/clips", block_clips=0, max_bad_shards=allowed)
        batches = iter(loader)
        found: list[PairBatch] = [next(batches)]
        obstore.put(client, f"clips/{SECOND}", data[:1024] + data[1024:][::-1])
        if allowed:
            found += islice(batches, 60)
            assert list(loader.bad_shards) == [SECOND] and len(found) == 61
        else:
            with pytest.raises(ObjectChangedError, match=r"clips-train-000001\.tar was replaced"):
                list(islice(batches, 60))


def test_open_files_stay_few_over_many_epochs_left_early_from_a_bucket(through: FaultyProxy) -> None:
    loader = loader_of(open_store("s3://stages/clips"))
    for _ in range(5):
        next(iter(loader))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        next(iter(loader))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 8, "connections that are kept open, and the proxy's"


def test_workers_and_their_files_end_with_an_epoch_that_is_left_early(shards: Path) -> None:
    def held() -> tuple[int, int]:
        """Return files in shared memory and pipes, and child processes."""
        gc.collect()
        kept = 0
        for path in list(Path("/proc/self/fd").iterdir()):
            with suppress(OSError):  # the proxy's, which its threads may close
                kept += os.readlink(path).startswith(("/dev/shm", "pipe:"))
        tasks = Path("/proc/self/task").glob("*/children")
        return kept, sum(len(path.read_text().split()) for path in tasks)

    loader = loader_of(shards, workers=2)
    next(iter(loader))
    before = held()
    for _ in range(6):
        next(iter(loader))
    files, processes = held()
    assert files <= before[0] and processes <= before[1]


def test_a_training_with_wrong_keys_is_one_line(
    through: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for words in (["train", "--run", tmp_path / "run", "--shards"], ["bench-data"], ["check-leakage"]):
        assert command(*words, "s3://stages/clips") == 1
        said = capsys.readouterr().err
        assert said.startswith("error: s3://stages/clips") and "SignatureDoesNotMatch" in said
        assert len(said.splitlines()) == 1


def test_a_second_training_reads_from_the_cache(through: FaultyProxy, tmp_path: Path) -> None:
    cache, losses = tmp_path / "cache", []
    settings = [*TINY, "train.steps=2"]
    for number in range(2):
        run = tmp_path / f"run{number}"
        through.reset(lambda request: None)
        assert command("train", "--shards", "s3://stages/clips", "--run", run, "--cache", cache, settings=settings) == 0
        losses.append((run / "metrics.jsonl").read_text().partition(', "learning_rate"')[0])
    asked = {request.method for request in through.requests if ".tar" in request.path}
    assert losses[0] == losses[1] and asked == {"HEAD"}
    assert list((cache / "tmp").iterdir()) == [] and int((cache / "used").read_text()) > 100_000
