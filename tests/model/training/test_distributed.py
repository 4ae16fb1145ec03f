"""Two processes train as one with the whole batch: real processes, real gloo, on the CPU.

python -m tests.model.training.test_distributed FOLDER    is one of the processes, named by torchrun's environment
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.device import resolve_device, resolve_precision
from avcorr.model.errors import ModelError
from avcorr.model.networks.network import CorrespondenceModel
from avcorr.model.objectives.losses import EncodedPairs, Losses
from avcorr.model.objectives.pair import losses as pair_losses
from avcorr.model.saving.checkpoint import latest_checkpoint
from avcorr.model.settings import TrainSettings
from avcorr.model.training.distributed import ALONE, Processes, joined, named
from avcorr.model.training.optimizer import build_optimizer
from avcorr.model.training.step import Stepper
from avcorr.model.training.trainer import fit
from avcorr.pipeline.correspondence.negatives import derange_batch
from tests.model.training.test_trainer import MODEL, PairBatch, batch, losses, read_metrics, settings
from tests.support.checkpoints import run_config

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
ITEMS, STEPS = 16, 4
SYNCHRONISED: dict[str, dict[str, Any]] = {
    "pair": {"objective": "pair", "batch_norm": "synchronised"},
    "contrastive": {"objective": "contrastive", "batch_norm": "synchronised", "gradient_clip": 1.0},
    "sigmoid": {"objective": "sigmoid", "batch_norm": "synchronised"},
}
SCENARIOS = {**SYNCHRONISED, "per_device": {"objective": "pair", "batch_norm": "per_device"}}


def chosen(name: str) -> TrainSettings:
    return settings(steps=STEPS, augment="none", learning_rate=1e-4, batch_size=ITEMS, **SCENARIOS[name])


def source(name: str, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[PairBatch]:
    """Yield a process's part of each batch: neighbouring items."""
    for step in range(start, 10_000):
        whole = batch(step, matching_only=SCENARIOS[name]["objective"] != "pair", items=ITEMS)
        mine = slice(rank * ITEMS // ranks, (rank + 1) * ITEMS // ranks)
        yield PairBatch(*(column[mine] for column in whole))


def be_a_process(folder: Path) -> None:
    """Train every scenario as the process that the environment names."""
    torch.set_num_threads(1)
    with joined(named(), CPU) as processes:
        for name in SCENARIOS:
            model = build_model(MODEL, 0)
            fit(
                model, source(name, processes.rank, processes.ranks), chosen(name), folder / name,
                config=run_config(MODEL), device=CPU, processes=processes, derange=derange_batch
            )  # fmt: skip
            sums = {key: value.double().sum().item() for key, value in model.state_dict().items()}
            (folder / f"{name}-{processes.rank}.json").write_text(json.dumps(sums))
            if processes.is_first:
                torch.save(gradients(name, processes), folder / f"{name}.pt")
            else:
                gradients(name, processes)


def gradients(name: str, processes: Processes = ALONE) -> dict[str, torch.Tensor]:
    """Return the gradients of a first step."""
    stepper = Stepper(build_model(MODEL, 0), chosen(name), CPU, processes, derange=derange_batch)
    pairs = next(source(name, processes.rank, processes.ranks))
    stepper.calibrate(pairs)
    torch.autograd.backward(stepper.loss(pairs, 0).loss)
    return {key: value.grad for key, value in stepper.model.named_parameters() if value.grad is not None}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    names = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {**os.environ, **{key: str(value) for key, value in names.items()}, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have trained every scenario."""
    folder, port = tmp_path_factory.mktemp("together"), free_port()
    words = [sys.executable, "-m", "tests.model.training.test_distributed", str(folder)]
    running = [subprocess.Popen(words, cwd=ROOT, env=environment(rank, 2, port)) for rank in range(2)]
    assert [process.wait(300) for process in running] == [0, 0]
    return folder


@pytest.mark.parametrize("name", SYNCHRONISED)
def test_two_processes_lose_what_one_loses_with_the_whole_batch(together: Path, tmp_path: Path, name: str) -> None:
    """Statistics of all items, negatives of all items, gradients through the gathered ones: all must be right."""
    model = build_model(MODEL, 0)
    fit(model, source(name), chosen(name), tmp_path, config={}, device=CPU, derange=derange_batch)
    alone, shared = losses(tmp_path), losses(together / name)
    assert shared[1] == pytest.approx(alone[1], rel=1e-5)  # the order of the sums is another
    # Adam's first steps are as long as the rate whatever the gradient, so rounding may turn a gradient of nearly 0.
    assert list(shared.values()) == pytest.approx(list(alone.values()), rel=5e-3)
    for one, other in zip(read_metrics(tmp_path), read_metrics(together / name), strict=True):
        assert other["accuracy"] == pytest.approx(one["accuracy"], abs=1e-6)
        assert other["pair_loss"] == pytest.approx(one["pair_loss"], rel=5e-3)
    trained = latest_checkpoint(together / name).model
    for key, value in model.state_dict().items():
        torch.testing.assert_close(trained[key], value, atol=STEPS * 2e-4, rtol=5e-3)


@pytest.mark.parametrize("name", SYNCHRONISED)
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(together: Path, name: str) -> None:
    found = torch.load(together / f"{name}.pt", weights_only=True)
    expected = gradients(name)
    assert found.keys() == expected.keys()
    scale = max(value.norm().item() for value in expected.values())
    for key, value in expected.items():
        assert (found[key] - value).norm() < 1e-4 * value.norm() + 1e-6 * scale, key


def test_own_statistics_are_two_half_batches_whose_gradients_are_averaged(together: Path, tmp_path: Path) -> None:
    """Without synchronised statistics two processes are another training than one, and exactly this one."""
    model: CorrespondenceModel = build_model(MODEL, seed=0).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, chosen("per_device"))
    expected = []
    for step in range(STEPS):
        whole = batch(step, matching_only=False, items=ITEMS)
        if step == 0:
            model.spectrogram.calibrate(whole.audio)
        halves = [
            encode_and_compare(model, PairBatch(*(column[part] for column in whole)))
            for part in (slice(0, 8), slice(8, 16))
        ]
        optimizer.zero_grad()
        loss = (halves[0].loss + halves[1].loss) / 2
        torch.autograd.backward(loss)
        optimizer.step()
        expected.append(loss.item())
    found = losses(together / "per_device")
    assert found[1] == pytest.approx(expected[0], rel=1e-5)  # the order of the sums is another
    assert list(found.values()) == pytest.approx(expected, rel=1e-4)
    fit(
        build_model(MODEL, 0),
        source("per_device"),
        chosen("per_device"),
        tmp_path,
        config={},
        device=CPU,
        derange=derange_batch,
    )
    assert abs(found[1] - losses(tmp_path)[1]) > 1e-3  # and it is another loss than that of one process


def encode_and_compare(model: CorrespondenceModel, pairs: PairBatch) -> Losses:
    image, audio = model.image_features(pairs.frames), model.audio_features(pairs.audio)
    deranged = partial(derange_batch, generator=torch.Generator())
    encoded = EncodedPairs(image, audio, pairs.matches, pairs.videos, deranged, ALONE)
    return pair_losses(model, encoded, chosen("pair"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_processes_hold_the_same_weights(together: Path, name: str) -> None:
    first, second = (json.loads((together / f"{name}-{rank}.json").read_text()) for rank in range(2))
    statistics = {key for key in first if "running" in key} if name == "per_device" else set()
    assert {key for key in first if first[key] != second[key]} <= statistics
    assert bool(statistics) == (name == "per_device")


def test_only_the_first_process_writes_and_counts_all_pairs(together: Path) -> None:
    for name in SCENARIOS:
        lines = read_metrics(together / name)
        assert [line["step"] for line in lines] == [1, 2, 3, 4]
        assert lines[0]["pairs_per_second"] * lines[0]["seconds"] == pytest.approx(ITEMS)
        assert len(list((together / name / "tensorboard").iterdir())) == 1
        assert latest_checkpoint(together / name).facts["processes"] == 2


def test_a_run_of_two_processes_goes_on_in_one(
    together: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With shared statistics the number of processes changes nothing but the rounding."""
    start = latest_checkpoint(together / "contrastive")
    longer = chosen("contrastive").model_copy(update={"steps": STEPS + 1})
    rest, whole = source("contrastive", start=STEPS), source("contrastive")
    fit(
        build_model(MODEL, 9),
        rest,
        longer,
        tmp_path / "on",
        config={},
        start=start,
        device=CPU,
        derange=derange_batch,
    )
    fit(build_model(MODEL, 0), whole, longer, tmp_path / "whole", config={}, device=CPU, derange=derange_batch)
    assert losses(tmp_path / "on")[5] == pytest.approx(losses(tmp_path / "whole")[5], rel=1e-3)
    assert "began with processes 2 and goes on with 1" in caplog.text


def test_names_of_the_environment() -> None:
    assert named({}) is ALONE
    assert named({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is ALONE
    found = named({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert (found.rank, found.ranks, found.local_rank, found.is_first) == (5, 8, 1, False)
    with pytest.raises(ModelError, match="names RANK, but not WORLD_SIZE, LOCAL_RANK; start with torchrun"):
        named({"RANK": "5"})
    for rank, ranks in (("8", "8"), ("-1", "8"), ("x", "8"), ("0", "0"), ("0", "")):
        with pytest.raises(ModelError, match=rf"RANK={rank}, WORLD_SIZE={ranks}, LOCAL_RANK=0, which name no process"):
            named({"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": "0"})


SRUN = {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    "environment",
    [
        SRUN, SRUN | {"ENVIRONMENT": "BATCH"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, {"PMI_RANK": "1", "PMI_SIZE": "2"},
    ],
)  # fmt: skip
def test_what_srun_or_mpirun_has_started_is_refused(environment: dict[str, str]) -> None:
    """Each would train alone, all in one folder."""
    with pytest.raises(ModelError, match=r"(srun|mpirun) has started \d of these .* start torchrun once a machine"):
        named(environment)
    assert named(environment | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is ALONE


def test_a_batch_script_or_a_single_task_of_slurm_trains_alone() -> None:
    assert named({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "ENVIRONMENT": "BATCH"}) is ALONE
    assert named(SRUN | {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) is ALONE


def test_processes_that_cannot_meet_say_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ModelError, match=r"cannot meet \(.*MASTER_ADDR.*; start with torchrun"),
        joined(Processes(1, 2), CPU),
    ):
        pass


def test_alone_everything_is_as_it_was() -> None:
    tensor = torch.ones(2, requires_grad=True)
    assert ALONE.gather(tensor) is tensor and ALONE.mean(tensor) is tensor and ALONE.agree(True)
    ALONE.wait()
    with joined(ALONE, CPU) as processes:
        assert processes is ALONE
    assert resolve_precision("fp32", resolve_device("cpu", 3)) == torch.float32


if __name__ == "__main__":
    be_a_process(Path(sys.argv[1]))
