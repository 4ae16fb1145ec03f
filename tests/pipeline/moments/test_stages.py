"""What the stages of the stream did is counted where it happens and arrives in the line of metrics."""

import copy
import json
import pickle
import re
import shutil
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.settings import PairSettings
from avcorr.shards.errors import StoreUnreachableError
from avcorr.shards.store import RetryPolicy, Root, Traffic
from avcorr.shards.stores.open import open_store
from tests.pipeline.moments.test_sampler import damage
from tests.support.commands import TINY, command
from tests.support.proxy import Fault, FaultyProxy

SETTINGS = PairSettings(frame_size=32, per_clip=4, block_clips=4, workers=0)
HASTY = RetryPolicy(attempts=5, first_wait=0.01, longest_wait=0.02, stall_seconds=1)


def loader_of(root: Root, *, batch_size: int = 16, **changes: object) -> MomentLoader:
    return MomentLoader(PairDataset(root, SETTINGS.model_copy(update=changes), batch_size=batch_size, seed=0))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_pair_and_byte_is_counted(shards: Path, workers: int) -> None:
    loader = loader_of(shards, batch_size=32, workers=workers)
    windows = sum(batch.audio.nbytes for batch in islice(loader, 6))
    stages, seconds = loader.take_stages()
    assert stages.pairs == 6 * 32 and windows == 6 * 32 * 32000
    pictures = stages.read_bytes - windows
    assert 6 * 32 * 500 < pictures < 6 * 32 * 5000, "JPEGs of 64 x 48 pixels, and the shards' ends"
    assert stages.read_requests >= 6 * 2, "one for each chunk"
    assert (stages.read_retries, stages.decode_errors) == (0, 0)
    parts = [stages.draw_seconds, stages.read_seconds, stages.decode_seconds, stages.assemble_seconds]
    assert min(parts) > 0 and stages.read_wait_seconds == 0 and stages.cpu_seconds > 0
    assert 0 < stages.wait_seconds < seconds
    if not workers:  # all that is done is waited for
        assert sum(parts) < stages.wait_seconds
    assert loader.take_stages()[0].pairs == 0, "what was taken is not told again"


def test_a_slow_trainer_finds_batches_ready_and_workers_idle(shards: Path) -> None:
    loader = loader_of(shards, workers=1)
    batches = iter(loader)
    next(batches)
    loader.report()
    for _ in range(12):
        time.sleep(0.3)
        next(batches)
    figures = loader.report()
    assert 1 < figures["data_queue"] <= 5
    assert figures["data_idle_seconds"] > 0.2 and figures["data_wait_seconds"] < 1.8
    assert figures["data_decode_pairs_per_second"] > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_retries_are_counted_in_the_worker_that_has_them(through: FaultyProxy, workers: int) -> None:
    loader = loader_of(open_store("s3://stages/clips", retry=HASTY), workers=workers)
    through.reset(lambda request: Fault("status") if request.number < 3 else None)
    next(iter(loader))
    figures = loader.report()
    assert figures["data_read_retries"] == 3
    assert figures["data_read_requests"] > 3 and figures["data_read_bytes"] > 200_000
    assert figures["data_read_wait_seconds"] > 0 and figures["data_in_flight"] > 0


def test_retries_of_a_request_that_is_given_up_are_counted(through: FaultyProxy) -> None:
    through.reset(lambda request: Fault("status"))
    calls = (lambda s: s.read("x", 1 << 23), lambda s: s.size("x"), lambda s: s.list(""))
    for call in calls:
        store = open_store("s3://stages/clips", retry=HASTY)
        with pytest.raises(StoreUnreachableError, match="gave up after 5 attempts"):
            call(store)
        assert (store.traffic.retries, store.traffic.requests) == (4, 5)


def test_frames_that_are_no_jpeg_are_counted(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    damage(root, "no JPEG")
    loader = loader_of(root, max_bad_shards=1)
    list(islice(loader, 4))
    figures = loader.report()
    assert figures["data_decode_errors"] >= 1 and figures["data_bad_shards"] == 1


def test_threads_lose_no_count_and_counts_travel() -> None:
    traffic = Traffic()

    def count() -> None:
        for _ in range(2000):
            traffic.add(Traffic(1, 10, 1, 0.5))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic == Traffic(16000, 160000, 16000, 8000.0)
    assert traffic == copy.copy(traffic) == pickle.loads(pickle.dumps(traffic))


def test_a_training_writes_them_down(tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*TINY, "train.log_every=2", "pairs.workers=1"]
    assert command("train", "--shards", shards, "--run", tmp_path / "run", settings=settings) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    names = {
        "data_wait", "data_queue", "data_read_bytes", "data_read_requests", "data_read_retries", "data_read_seconds",
        "data_decode_seconds", "data_decode_errors", "data_decode_pairs_per_second", "data_idle_seconds",
        "data_bad_shards",
    }  # fmt: skip
    assert all(names <= line.keys() and line["data_read_bytes"] > 0 for line in lines) and len(lines) == 3
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    for name in names:
        told = [event.value for event in events.Scalars(f"train/{name}")]
        assert told == pytest.approx([line[name] for line in lines], rel=1e-6)
    shown = re.findall(r"\d+% waiting for data \((\d+\.\d) batches ready\)\n", capsys.readouterr().err)
    assert len(shown) == 3 and all(0 <= float(depth) <= 5 for depth in shown)
