"""How fast a training step is, what each of its means is worth, how long it waits for data: one command, any device.

    python benchmarks/training.py [ROOT] [--size paper] [--batch 256] [--threads 1] [--rounds 5] [--no-compile]

Two full-width ResNet18 at the size of the paper's recipe or of the quickstart. First steps on batches in memory, in
rounds, each way once a round, so that neighbours slow all alike: the plain float32 loop that one writes first, with one
means more in each row, then this project's step. Time is that of the clock on a GPU and CPU seconds on a CPU. Then the
whole trainer, checkpoints and log included, fed from memory and, with ROOT, from its shards: share of the time waiting
for data. "of peak" is of the device's data sheet where it is known, else of a large matrix product timed here.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from avcorr.configs.load import load_config
from avcorr.configs.schema import Config
from avcorr.model.correspondence import build_model
from avcorr.model.device import has_fast_bfloat16, resolve_device
from avcorr.model.networks.spectrogram import Spectrogram
from avcorr.model.training.flops import forward_flops, peak_flops
from avcorr.model.training.step import Stepper
from avcorr.model.training.trainer import compile_towers, fit, tuned_convolutions
from avcorr.model.training.transfer import Moved
from avcorr.pipeline.correspondence.negatives import derange_batch
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader

HERE = Path(__file__).parents[1]
SIZES = {"paper": "vggsound", "quick": "quickstart"}
SECOND = 16000


class Row(NamedTuple):
    """A way to train, its number format, and a step of it."""

    name: str
    precision: torch.dtype
    step: Callable[[Moved], object]


class Plain:
    """The loop that one writes first: torchvision's networks, frames made floats on the host, the loss read each step.

    channels_last, fused and bf16 are what can be added to it.
    """

    def __init__(self, config: Config, device: torch.device, *words: str) -> None:
        self.device, self.bf16 = device, "bf16" in words
        self.format = torch.channels_last if "channels_last" in words else torch.contiguous_format
        self.spectrogram = Spectrogram(config.model.spectrogram)
        self.image, self.audio = resnet18(num_classes=128), resnet18(num_classes=128)
        self.audio.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.line = nn.Parameter(torch.tensor([5.0, 6.0], device=device))
        towers = nn.ModuleList([self.image, self.audio]).to(device).to(memory_format=self.format).train()
        options = {"fused": True} if "fused" in words else {}
        self.optimizer = torch.optim.Adam([*towers.parameters(), self.line], lr=1e-3, **options)

    def step(self, batch: Moved) -> float:
        """Do one step on a batch in the host's memory and return its loss."""
        mean, deviation = torch.tensor([123.7, 116.3, 103.5]), torch.tensor([58.4, 57.1, 57.4])
        pixels = ((batch.frames.float() - mean) / deviation).permute(0, 3, 1, 2)
        images = pixels.contiguous(memory_format=self.format).to(self.device)
        sounds = self.spectrogram(batch.audio).contiguous(memory_format=self.format).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            image, audio = self.image(images), self.audio(sounds)
        cosine = functional.cosine_similarity(image.float(), audio.float())
        logits = self.line[1] - self.line[0] * (2 - 2 * cosine).clamp(min=0).add(1e-8).sqrt()
        loss = functional.binary_cross_entropy_with_logits(logits, batch.matches.float().to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def ours(config: Config, device: torch.device, precision: str, *, compiled: bool = False) -> Callable[[Moved], object]:
    """Return this project's step."""
    chosen = config.train.model_copy(update={"precision": precision, "augment": "none"})
    stepper = Stepper(build_model(config.model, 0), chosen, device, derange=derange_batch)
    if compiled:
        compile_towers(stepper.model, device)

    def step(batch: Moved) -> object:
        with tuned_convolutions(device):  # as the trainer does
            return stepper.step(batch)

    return step


def rows(config: Config, device: torch.device, *, compiled: bool) -> Iterator[Row]:
    """Yield the ways to train, the plain one first."""
    fp32, bf16, half = torch.float32, torch.bfloat16, has_fast_bfloat16(device)
    yield Row("plain float32 loop", fp32, Plain(config, device).step)
    yield Row("+ channels_last", fp32, Plain(config, device, "channels_last").step)
    yield Row("+ fused Adam", fp32, Plain(config, device, "channels_last", "fused").step)
    if half:
        yield Row("+ bfloat16", bf16, Plain(config, device, "channels_last", "fused", "bf16").step)
    yield Row("this project, float32", fp32, ours(config, device, "fp32"))
    if half:
        yield Row("this project, bfloat16", bf16, ours(config, device, "bf16"))
    if compiled:
        name, precision = ("bfloat16", bf16) if half else ("float32", fp32)
        step = ours(config, device, "bf16" if half else "fp32", compiled=True)
        yield Row(f"this project, {name}, compiled", precision, step)


def random_batch(config: Config, device: torch.device) -> Moved:
    """Return random frames and sounds, in pinned memory where a GPU takes them."""
    count, side = config.train.batch_size, config.pairs.frame_size
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (count, side, side, 3), generator=generator).to(torch.uint8)
    audio = torch.randint(-9000, 9000, (count, SECOND), generator=generator).to(torch.int16)
    matches = (
        torch.arange(count) % 2 == 0
        if not config.train.chosen_objective.needs_aligned_pairs
        else torch.ones(count, dtype=torch.bool)
    )
    batch = Moved(frames, audio, matches, torch.arange(count))
    return Moved(*(column.pin_memory() for column in batch)) if device.type == "cuda" else batch


def seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Return the seconds that one call takes: of the clock on a GPU, of all cores on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    began = clock()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - began) / times


def peak(device: torch.device, precision: torch.dtype) -> float:
    """Return operations a second: of the data sheet, or of the best of five large matrix products."""
    known = peak_flops(device, precision)
    if known:
        return known
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.randn(size, size, device=device).to(precision)
    return 2 * size**3 / min(seconds(lambda: matrix @ matrix, device, 1) for _ in range(6))


def compare(config: Config, device: torch.device, rounds: int, compiled: bool) -> None:
    """Print a row for each way to train."""
    batch, times = random_batch(config, device), 20 if device.type == "cuda" else 1
    ways = list(rows(config, device, compiled=compiled))
    for way in ways:
        way.step(batch)  # memory, kernels, compilation
    measured: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            measured[way.name].append(seconds(lambda way=way: way.step(batch), device, times))  # type: ignore[misc]
    flops = 3 * forward_flops(build_model(config.model, 0), config.pairs.frame_size, SECOND)
    peaks = {precision: peak(device, precision) for precision in {way.precision for way in ways}}
    plain = measured[ways[0].name]
    clock = "" if device.type == "cuda" else " of CPU time"
    print(f"| | ms a step{clock} | pairs/s{clock} | times the plain loop (range) | of peak |\n|---|---|---|---|---|")
    for way in ways:
        taken = statistics.median(measured[way.name])
        ratios = sorted(one / other for one, other in zip(plain, measured[way.name], strict=True))
        rate = config.train.batch_size / taken
        print(
            f"| {way.name} | {1000 * taken:.0f} | {rate:.0f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}) | {flops * rate / peaks[way.precision]:.0%} |",
            flush=True,
        )


def train(config: Config, device: torch.device, batches: Iterable[Any]) -> list[str]:
    """Train with everything that a run does; return the cells of a row: pairs/s, waiting, share of the peak."""
    with tempfile.TemporaryDirectory() as folder:
        fit(
            build_model(config.model, 0),
            batches,
            config.train,
            Path(folder),
            config={},
            device=device,
            derange=derange_batch,
        )
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()][1:]
    pairs = [line["pairs_per_second"] for line in lines]
    wait = sum(line["data_wait"] * line["seconds"] for line in lines) / sum(line["seconds"] for line in lines)
    used = [line["flop_utilisation"] for line in lines if "flop_utilisation" in line]
    share = f"{statistics.median(used):.0%}" if used else "not known"
    return [f"{statistics.median(pairs):.0f}", f"{wait:.1%}", share]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", help="shards to feed the trainer from, too")
    parser.add_argument("--size", choices=SIZES, help="default: paper on a GPU, quick on a CPU")
    parser.add_argument("--batch", type=int, help="pairs of a step; default: the recipe's")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of the whole trainer; default: 400 on a GPU, 20 on a CPU")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    device = resolve_device("auto")
    on_gpu = device.type == "cuda"
    torch.set_num_threads(arguments.threads)
    recipe = SIZES[arguments.size or ("paper" if on_gpu else "quick")]
    steps = arguments.steps or (400 if on_gpu else 20)
    changes = [f"train.steps={steps}", f"train.log_every={max(1, steps // 5)}", "train.warmup_steps=0"]
    changes += [f"train.batch_size={arguments.batch}"] if arguments.batch else []
    config = load_config(HERE / "configs" / f"{recipe}.yaml", [*changes, *arguments.set])
    name = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}; {recipe}: {config.pairs.frame_size} pixels, batch "
          f"{config.train.batch_size}\n")  # fmt: skip
    compare(config, device, arguments.rounds, not arguments.no_compile)
    sources: dict[str, Iterable[Any]] = {"memory": repeat(random_batch(config, device))}
    if arguments.root:
        sources[f"shards, {config.pairs.workers} workers"] = MomentLoader(
            PairDataset(arguments.root, config.pairs, batch_size=config.train.batch_size, seed=0)
        )
    print("\n| the whole trainer, fed from | pairs/s by the clock | waiting for data | of peak |\n|---|---|---|---|")
    for source, batches in sources.items():
        print("| " + " | ".join([source, *train(config, device, batches)]) + " |", flush=True)


if __name__ == "__main__":
    main()
