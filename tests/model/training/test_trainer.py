"""Training: it learns, resumes exactly, stops on NaN, keeps whole steps on an interrupt."""

import json
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from avcorr.model.correspondence import build_model
from avcorr.model.errors import CheckpointError, ModelError, TrainingDiverged
from avcorr.model.networks.network import CorrespondenceModel
from avcorr.model.saving.checkpoint import latest_checkpoint, list_checkpoints
from avcorr.model.settings import ModelSettings, SpectrogramSettings, TrainSettings
from avcorr.model.training.interrupt import deferred_signals
from avcorr.model.training.metrics_file import metrics_line
from avcorr.model.training.trainer import Summary, fit
from avcorr.pipeline.correspondence.negatives import derange_batch
from tests.support.checkpoints import forge, run_config
from tests.support.reports import FORGED_LINES

CPU = torch.device("cpu")
MODEL = ModelSettings(
    embedding_size=16, width=8, spectrogram=SpectrogramSettings(sample_rate=8000, window=256, hop=128, mel_bins=32)
)
KINDS = 4


class PairBatch(NamedTuple):
    frames: Tensor
    audio: Tensor
    matches: Tensor
    videos: Tensor


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: the tensors are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, which a shell prevents for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def batch(step: int, matching_only: bool, items: int = 16) -> PairBatch:
    """Make pairs of a colour and a tone: colour and pitch tell the kind, one of 4."""
    generator = torch.Generator().manual_seed(1000 + step)
    kinds = torch.randint(KINDS, (items,), generator=generator)
    matches = torch.arange(items) % 2 == 0 if not matching_only else torch.ones(items, dtype=torch.bool)
    others = (kinds + torch.randint(1, KINDS, (items,), generator=generator)) % KINDS
    colour = (kinds[:, None] // torch.tensor([1, 2, 2]) % 2) * 150
    frames = colour[:, None, None, :] + torch.randint(80, (items, 32, 32, 3), generator=generator)
    hertz = 200.0 * 2.0 ** torch.where(matches, kinds, others)
    audio = 9000 * torch.sin(2 * torch.pi * hertz[:, None] * torch.arange(2000) / 8000)
    audio = audio + 100 * torch.randn(items, 2000, generator=generator)
    return PairBatch(frames.to(torch.uint8), audio.to(torch.int16), matches, kinds)


def batches(start: int = 0, stop: int = 10_000, matching_only: bool = False) -> Iterator[PairBatch]:
    return (batch(step, matching_only) for step in range(start, stop))


def settings(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {"steps": 6, "batch_size": 16, "log_every": 1, "checkpoint_every": 3, "precision": "fp32"}
    return TrainSettings(**(values | changes))


def train(run: Path, chosen: TrainSettings, source: Iterator[PairBatch] | None = None, **options: Any) -> Summary:
    model = options.pop("model", None) or build_model(MODEL, chosen.seed)
    config = run_config(MODEL, chosen)
    source = source or batches(matching_only=chosen.objective != "pair")
    return fit(model, source, chosen, run, config=config, **({"device": CPU} | options), derange=derange_batch)


def read_metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> dict[int, float]:
    return {int(line["step"]): line["loss"] for line in read_metrics(run)}


def assert_same_state(first: Path, second: Path) -> None:
    one, two = latest_checkpoint(first), latest_checkpoint(second)
    assert one.step == two.step
    assert all(torch.equal(one.model[name], two.model[name]) for name in one.model)


@pytest.mark.parametrize("objective", ["pair", "deranged", "contrastive", "sigmoid"])
def test_colours_and_tones_are_learned(tmp_path: Path, objective: str) -> None:
    chosen = settings(steps=80, log_every=20, objective=objective, learning_rate=3e-3, schedule="cosine")
    summary = train(tmp_path, chosen)
    first, *_, last = read_metrics(tmp_path)
    assert first["accuracy"] < 0.9 < last["accuracy"]
    assert last["pair_loss"] < 0.35
    assert (summary.step, summary.accuracy, summary.loss) == (80, last["accuracy"], last["loss"])


@pytest.mark.parametrize(("objective", "augment"), [("pair", "standard"), ("contrastive", "strong")])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, objective: str, augment: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    chosen = settings(objective=objective, augment=augment, schedule="cosine", warmup_steps=2, gradient_clip=1.0)
    only = objective == "contrastive"
    train(whole, chosen)
    with pytest.raises(ModelError, match="the batches ended after step 4 of 6"):
        train(parts, chosen, batches(stop=4, matching_only=only))
    assert list(losses(parts)) == [1, 2, 3, 4]
    start = latest_checkpoint(parts)
    assert start.step == 4  # the last whole one, whatever ended the batches
    # Other initial weights: all must come from the checkpoint.
    train(parts, chosen, batches(4, matching_only=only), start=start, model=build_model(MODEL, 99))
    assert losses(parts) == losses(whole)
    assert list(losses(parts)) == [1, 2, 3, 4, 5, 6]
    assert_same_state(parts, whole)


def test_the_seed_decides_the_losses(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        train(tmp_path / name, settings(steps=2, seed=seed))
    assert losses(tmp_path / "one") == losses(tmp_path / "same")
    assert losses(tmp_path / "one") != losses(tmp_path / "other")


def test_a_line_of_metrics_says_what_happened(tmp_path: Path) -> None:
    train(tmp_path / "each", settings(steps=5))
    train(tmp_path / "some", settings(steps=5, log_every=2))
    each, some = read_metrics(tmp_path / "each"), read_metrics(tmp_path / "some")
    assert [line["step"] for line in some] == [2, 4, 5]
    assert [line["loss"] for line in some] == [each[1]["loss"], each[3]["loss"], each[4]["loss"]]
    assert some[1]["loss_mean"] == pytest.approx((each[2]["loss"] + each[3]["loss"]) / 2, rel=1e-6)
    assert all(line["learning_rate"] == 1e-3 and 0 <= line["data_wait"] <= 1 for line in some)
    assert some[0]["pairs_per_second"] * some[0]["seconds"] == pytest.approx(32)
    assert list((tmp_path / "some" / "tensorboard").glob("events.out.tfevents.*"))


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    train(tmp_path, settings(steps=3))
    summary = train(tmp_path, settings(steps=3), iter(()), start=latest_checkpoint(tmp_path))
    assert summary[:3] == (3, None, None)
    assert list(losses(tmp_path)) == [1, 2, 3]


def test_a_line_cut_by_a_crash_is_dropped(tmp_path: Path) -> None:
    train(tmp_path, settings(steps=3))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    train(tmp_path, settings(steps=4), batches(3), start=latest_checkpoint(tmp_path))
    assert list(losses(tmp_path)) == [1, 2, 3, 4]


def test_each_step_stands_once_whatever_the_log_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, settings(steps=3))
    log = tmp_path / "metrics.jsonl"
    first, second, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([second, first, *FORGED_LINES, second, first, third[:-1]]))
    train(tmp_path, settings(steps=4), batches(3), start=latest_checkpoint(tmp_path))
    lines = log.read_bytes().splitlines(keepends=True)
    assert lines[:3] == [first, second, third] and list(losses(tmp_path)) == [1, 2, 3, 4]
    assert f"{len(FORGED_LINES)} lines were left out" in caplog.text


def test_what_is_not_finite_is_null_in_the_log() -> None:
    assert metrics_line({"step": 3, "loss": 0.25, "rate": math.nan, "more": math.inf}) == (
        '{"step": 3, "loss": 0.25, "rate": null, "more": null}\n'
    )


@pytest.mark.parametrize("kind", ["pipe", "zero"])
def test_a_log_without_an_end_is_refused(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "metrics.jsonl"
    if kind == "pipe":
        os.mkfifo(log)
    else:
        log.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"metrics.jsonl cannot be read \(is no regular file\); move it away"):
        train(tmp_path, settings(steps=1))


@pytest.mark.parametrize("part", ["shape", "name", "weight", "groups"])
def test_what_an_optimizer_of_other_weights_left_is_refused(tmp_path: Path, part: str) -> None:
    path = train(tmp_path, settings(steps=3)).checkpoint

    def change(content: dict[str, Any]) -> None:
        state = content["optimizer"]["state"]
        if part == "shape":
            state[0]["exp_avg"] = torch.zeros(3)
        elif part == "name":
            del state[0]["exp_avg_sq"]
        elif part == "weight":
            state[10_000] = state.pop(0)
        else:
            content["optimizer"]["param_groups"] = []

    forge(path, change)
    with pytest.raises(CheckpointError, match="optimizer is of other weights than its model; use an earlier one"):
        train(tmp_path, settings(steps=4), batches(3), start=latest_checkpoint(tmp_path))


def test_training_stops_when_the_loss_is_not_finite(tmp_path: Path) -> None:
    model = build_model(MODEL, 0)

    def poisoned() -> Iterator[PairBatch]:
        yield from batches(stop=4)
        with torch.no_grad():
            model.head.bias.fill_(float("nan"))
        yield from batches(4)

    with pytest.raises(TrainingDiverged, match=r"loss stopped being finite .* step 5; .*train.learning_rate \(now 0"):
        train(tmp_path, settings(checkpoint_every=2), poisoned(), model=model)
    assert latest_checkpoint(tmp_path).step == 4
    assert list(losses(tmp_path)) == [1, 2, 3, 4]


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = build_model(MODEL, 0)

    # The loss of the step is still finite, its gradient is not.
    model.image_tower.fc.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingDiverged, match="weights stopped being finite"):
        train(tmp_path, settings(steps=1), model=model)
    assert list_checkpoints(tmp_path) == []


def interrupting(model: CorrespondenceModel, step: int, inside: bool) -> Iterator[PairBatch]:
    """Yield batches; send Ctrl-C inside the step that follows `step`, or before it."""
    yield from batches(stop=step)
    if inside:
        handle = model.audio_tower.register_forward_hook(lambda *_: signal.raise_signal(signal.SIGINT))
        yield batch(step, matching_only=False)
        handle.remove()
    else:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("inside", "done"), [(False, 4), (True, 5)])
def test_an_interrupt_saves_the_last_whole_step(tmp_path: Path, inside: bool, done: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    model = build_model(MODEL, 0)
    chosen = settings(checkpoint_every=100)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(parts, chosen, interrupting(model, 4, inside), model=model)
    assert caught.value.__notes__ == [f"step {done} is saved; avcorr.train with resume=True goes on there"]
    start = latest_checkpoint(parts)
    assert start.step == done
    train(parts, chosen, batches(done), start=start)
    train(whole, chosen)
    assert_same_state(parts, whole)
    # An interrupt takes effect before its step is reported, so that step's line may be missing; none differs.
    assert losses(parts).items() <= losses(whole).items()


def failing(step: int) -> Iterator[PairBatch]:
    yield from batches(stop=step)
    raise OSError("no more")


@pytest.mark.parametrize(("step", "saved"), [(4, 4), (3, 3), (0, None)])
def test_where_batches_fail_the_last_whole_step_is_saved(tmp_path: Path, step: int, saved: int | None) -> None:
    with pytest.raises(OSError, match="no more"):
        train(tmp_path, settings(), failing(step))
    assert (latest_checkpoint(tmp_path).step if list_checkpoints(tmp_path) else None) == saved


@pytest.mark.usefixtures("ctrl_c")
def test_interrupts_wait_for_the_end_of_the_block() -> None:
    ended = False
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        signal.raise_signal(signal.SIGINT)
        ended = True
    assert ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("objective", ["deranged", "contrastive", "sigmoid"])
def test_training_on_all_pairs_of_a_batch_refuses_mismatching_ones(tmp_path: Path, objective: str) -> None:
    with pytest.raises(ModelError, match=f"the {objective} objective needs matching pairs only"):
        train(tmp_path, settings(objective=objective), batches(matching_only=False))


def test_where_nothing_can_be_compiled_a_training_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (str(tmp_path / "no-compiler"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    train(tmp_path / "asked", settings(steps=2, compile=True))
    assert "torch.compile does not work here, training without it" in caplog.text
    train(tmp_path / "plain", settings(steps=2))
    assert losses(tmp_path / "asked") == losses(tmp_path / "plain")


def test_bfloat16_follows_float32(tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        train(tmp_path / precision, settings(steps=2, precision=precision, augment="none"))
    full, half = losses(tmp_path / "fp32"), losses(tmp_path / "bf16")
    assert half != full
    assert half[1] == pytest.approx(full[1], rel=0.05)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("objective", ["pair", "contrastive"])
def test_colours_and_tones_are_learned_on_a_gpu(tmp_path: Path, objective: str) -> None:
    chosen = settings(
        steps=80, log_every=20, objective=objective, learning_rate=3e-3, schedule="cosine", precision="auto"
    )
    train(tmp_path, chosen, device=torch.device("cuda"))
    assert read_metrics(tmp_path)[-1]["accuracy"] > 0.9
