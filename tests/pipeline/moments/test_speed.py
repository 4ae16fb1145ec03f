"""avcorr bench-data: it measures what it says, from a folder and from a bucket, and names what is slow."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from avcorr.pipeline.moments.speed import Speed, advise, describe, measure_speed
from avcorr.pipeline.moments.stages import Stages
from tests.pipeline.moments.test_stages import loader_of
from tests.support.commands import command
from tests.support.proxy import Fault, FaultyProxy

SMALL = ["pairs.frame_size=32", "pairs.block_clips=4", "train.batch_size=16"]


def speed_of(stages: Stages | None = None, **changes: object) -> Speed:
    """Return a measurement of ten seconds with two workers that decode, with changes."""
    usual = Stages(
        pairs=8000, draw_seconds=0.5, read_seconds=1, read_bytes=400_000_000, read_requests=500, decode_seconds=18,
        idle_seconds=0.5, cpu_seconds=18, parts=100, wait_seconds=9,
    )  # fmt: skip
    speed = Speed(
        root="data/shards", remote=False, split="train", clips=100, shards=2, per_clip=4, block_clips=64,
        frame_size=224, batch_size=256, workers=2, cores=4, ahead=4, parts=1, start_seconds=1.0, seconds=10.0,
        pairs=8000, cpu_seconds=19.0, needed_bytes=48_000.0, rate=None, bad_shards=0, stages=stages or usual,
    )  # fmt: skip
    return replace(speed, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1])
def test_it_measures_a_folder(shards: Path, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*SMALL, f"pairs.workers={workers}"]
    assert command("bench-data", shards, "--pairs", 100, "--json", settings=settings) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == 112 and found["clips"] == 8 and found["shards"] == 2, "whole batches"
    assert found["pairs_per_second"] == pytest.approx(112 / found["seconds"])
    assert found["pairs_per_core"] == pytest.approx(112 / found["cpu_seconds"])
    assert found["stages"]["pairs"] == 112 and found["stages"]["read_bytes"] > 112 * 32000
    assert found["stages"]["read_bytes"] / 112 == pytest.approx(found["needed_bytes"], rel=0.1)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert ("idle" in found["shares"]) == (workers > 0) and found["advice"]


def test_it_tells_a_person(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("bench-data", shards, "--seconds", 1, settings=[*SMALL, "pairs.workers=0"]) == 0
    text = capsys.readouterr().out
    for word in ("pairs/s a core", "MB/s from the folder", "kB a pair", "decode", "8 clips in 2 shards", "\n- "):
        assert word in text
    assert max(map(len, text.splitlines())) < 120


def test_it_measures_a_bucket_with_its_retries(through: FaultyProxy, capsys: pytest.CaptureFixture[str]) -> None:
    through.reset(lambda request: Fault("status") if request.number % 7 == 6 else None)
    settings = [*SMALL, "pairs.workers=0"]
    assert command("bench-data", "s3://stages/clips", "--pairs", 512, settings=settings) == 0
    text = capsys.readouterr().out
    assert "MB/s from the store" in text and "read wait" in text and "beside the others" in text
    assert "requests were repeated: the store is throttled" in " ".join(text.split())
    assert command("bench-data", "s3://nobucket/clips", settings=settings) == 1
    assert capsys.readouterr().err.startswith("error: there is no bucket 'nobucket'")


def test_a_given_rate_is_kept(shards: Path) -> None:
    loader = loader_of(shards)
    speed = measure_speed(loader._dataset, pairs=160, rate=200)
    assert speed.pairs_per_second < 240
    assert speed.wait < 0.9


def test_decoding_on_the_device_is_a_stage_of_the_trainer(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*SMALL, "pairs.workers=1", "pairs.decode=device", "train.device=cpu"]
    assert command("bench-data", shards, "--pairs", 96, "--json", settings=settings) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert stages["pairs"] == 96 and stages["device_seconds"] > 0


@pytest.mark.parametrize(
    ("stages", "changes", "said"),
    [
        ({}, {}, "decoding takes 90% of the time: more workers use more of the 4 cores (pairs.workers, now 2)"),
        ({}, {"cores": 2}, "all 2 cores have a worker; a smaller pairs.frame_size (now 224)"),
        ({"read_seconds": 40}, {}, "reading takes 68% of the time: the disk is slow or far away"),
        ({"draw_seconds": 40}, {}, "chunks are largest where 16 divides the batch"),
        ({"assemble_seconds": 40}, {}, "memory is short or slow"),
        ({"idle_seconds": 40}, {}, "the pairs are not what is slow"),
        (
            {"read_wait_seconds": 40, "in_flight_seconds": 100.0},
            {"remote": True},
            "workers wait for bytes 68% of the time: a request takes 200 ms",
        ),
        ({"read_bytes": 4 * 8000 * 48_000}, {"remote": True}, "4.0 times what is needed is moved"),
        ({"read_retries": 6}, {"remote": True}, "6 of 500 requests were repeated"),
        ({"collate_seconds": 4}, {"parts": 2}, "40% of this process's time goes into putting 2 parts a batch"),
        ({"device_seconds": 4.0}, {}, "40% of this process's time goes into decoding on the device"),
        ({"decode_errors": 1}, {}, "shards are damaged: avcorr verify ROOT --full"),
        ({"wait_seconds": 0.5}, {"rate": 800.0}, "800 pairs/s come as asked for; whoever takes them waits 5%"),
        ({}, {"workers": 0}, "without workers the training process does all this"),
        ({}, {"cpu_seconds": 6.0}, "each second of work got 0.3 seconds of a core"),
    ],
)
def test_the_slowest_stage_is_named_with_what_to_do(
    stages: dict[str, float], changes: dict[str, object], said: str
) -> None:
    usual = speed_of()
    speed = replace(usual, stages=replace(usual.stages, **stages), **changes)  # type: ignore[arg-type]
    assert said in " ".join(advise(speed))
    assert said in " ".join(describe(speed).split())
