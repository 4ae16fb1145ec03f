"""Workers that die or hang: told with what they had in hand, replaced once, and no pair is lost or comes twice."""

import logging
import multiprocessing
import os
import signal
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from avcorr.pipeline.errors import PairError
from avcorr.pipeline.moments import reading
from tests.pipeline.moments.test_sampler import batches, digest, loader_of


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_is_replaced_once_and_the_sequence_goes_on(
    shards: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    loader, found = loader_of(shards, workers=2, timeout_seconds=1.0), []
    stream = iter(loader)
    for _ in range(2):
        found += islice(stream, 3)
        os.kill(multiprocessing.active_children()[0].pid or 0, number)
        with caplog.at_level(logging.WARNING):
            found += islice(stream, 5) if len(found) < 4 else []
    (warning,) = (record.message for record in caplog.records)
    what = "gave nothing for pairs.timeout_seconds = 1 and" if number == signal.SIGSTOP else "was killed by SIG"
    assert what in warning and "go on at step" in warning
    began = time.monotonic()
    with pytest.raises(PairError, match=r"worker \d of 2 \(process \d+\).*replaced once already") as caught:
        found += islice(stream, 100)
    assert "\n" not in str(caught.value) and time.monotonic() - began < 15
    assert loader.step >= len(found) and digest(found) == digest(batches(shards, len(found)))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_the_clip_in_hand_is_named(shards: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A decoder that crashes or blocks: the forked workers have the one that is put here."""

    def decode(jpegs: Any, *_: Any) -> None:
        next(iter(jpegs))
        os.kill(os.getpid(), signal.SIGKILL) if how == "dies" else time.sleep(60)

    monkeypatch.setattr(reading, "decode_frames", decode)
    timeout = 600 if how == "dies" else 0.5
    what = "was killed by SIGKILL.*" if how == "dies" else "gave nothing for pairs.timeout_seconds = 0.5 and was killed"
    in_hand = r"in hand: train/clips-train-00000\d\.tar, clip vclip\d\d;"
    with pytest.raises(PairError, match=rf"{what}; {in_hand}"):
        next(iter(loader_of(shards, workers=1, timeout_seconds=timeout, start_method="fork")))
