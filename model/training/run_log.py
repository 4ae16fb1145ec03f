"""Record of a training run: metrics.jsonl, TensorBoard, Weights & Biases where asked for, a progress bar on stderr."""

import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..objectives.losses import Losses
from .distributed import ALONE, Processes
from .metrics_file import METRICS, metrics_line, truncate_metrics
from .samples import Samples
from .tracking import Tracking

TENSORBOARD = "tensorboard"
FAULTS = {"read_retries": "retries", "decode_errors": "decode errors", "bad_shards": "bad shards"}

logger = logging.getLogger(__name__)


@runtime_checkable
class Reporter(Protocol):
    """What a stream of batches may have, to tell how they come about."""

    def report(self) -> Mapping[str, float]:
        """Return figures of the time since the last call for the line of metrics, by names that begin with `data_`.

        The progress bar shows `data_queue` (batches that were ready, on average), `data_read_retries`,
        `data_decode_errors` and `data_bad_shards`.
        """


class Interval:
    """The steps between two lines of metrics; sums stay on the device, so that adding never waits for it."""

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._began, self._waited = time.perf_counter(), 0.0
        self._pairs = self._steps = 0
        self._last: Losses | None = None
        self._sums: Tensor | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as time spent waiting for data."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def add(self, losses: Losses, pairs: int) -> None:
        """Count one step on this process's `pairs` of a batch."""
        values = torch.stack(losses)
        self._sums = values if self._sums is None else self._sums + values
        self._last = losses
        self._pairs += pairs * self._processes.ranks
        self._steps += 1

    def is_finite(self) -> bool:
        """Tell whether all losses were; one that was not spoils the sum for good."""
        return self._sums is None or math.isfinite(self._sums[0].item())

    def metrics(self, step: int, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """Return the interval's line of metrics: `loss` is the last step's, the other averages are the interval's.

        All processes must call it together; losses and accuracy are those of the whole batches, the times this one's.
        """
        if self._last is None or self._sums is None:
            raise ValueError("an interval without steps has no metrics")
        values = torch.cat([self._sums / self._steps, self._last.loss[None]])
        loss_mean, accuracy, pair_loss, loss = self._processes.mean(values).tolist()
        seconds = time.perf_counter() - self._began
        return {
            "step": step,
            "loss": loss,
            "loss_mean": loss_mean,
            "accuracy": accuracy,
            "pair_loss": pair_loss,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "pairs_per_second": self._pairs / seconds,
            "data_wait": self._waited / seconds,
            "seconds": seconds,
        }


class Progress:
    """Writes one line of metrics at a time, until it is closed.

    Opened at step k > 0, as by a resumed run, it removes the lines of later steps, so that no step appears twice.
    """

    def __init__(self, run: Path, step: int, steps: int, tracking: Tracking | None = None) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._run, self._tracking = run, tracking
        truncate_metrics(run / METRICS, step)
        self._file = (run / METRICS).open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)
        self._steps = steps
        hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
        self._bar = tqdm(initial=step, total=steps, unit="step", disable=hidden)

    def close(self) -> None:
        """End the bar and close the files."""
        self._bar.close()
        self._tensorboard.close()
        self._file.close()
        if self._tracking:
            self._tracking.close()

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def write(self, metrics: dict[str, Any]) -> None:
        """Append one line; metrics holds "step" and numbers, which keep their full precision."""
        self._file.write(metrics_line(metrics))
        self._file.flush()
        scalars = {f"train/{name}": value for name, value in metrics.items() if name != "step"}
        for name, value in scalars.items():
            self._tensorboard.add_scalar(name, value, metrics["step"])
        if self._tracking:
            self._tracking.write(scalars, metrics["step"])
        text = (
            f"loss {metrics['loss_mean']:.4f}, accuracy {metrics['accuracy']:.3f}, "
            f"{metrics['pairs_per_second']:.0f} pairs/s, {metrics['data_wait']:.0%} waiting for data"
        )
        text += f" ({metrics['data_queue']:.1f} batches ready)" if "data_queue" in metrics else ""
        for name, what in FAULTS.items():
            if count := metrics.get(f"data_{name}"):
                text += f", {count:.0f} {what}"
        if "flop_utilisation" in metrics:
            text += f", {metrics['flop_utilisation']:.0%} of the device's peak"
        if self._bar.disable:
            logger.info("step %d of %d: %s", metrics["step"], self._steps, text)
        self._bar.set_postfix_str(text, refresh=False)

    def show(self, samples: Samples, step: int, sample_rate: int) -> None:
        """Show pairs and embeddings of a batch as they are after a step."""
        _show_pairs(self._tensorboard, samples, step, sample_rate)
        _map_embeddings(self._run / TENSORBOARD / "embeddings", samples, step)
        if self._tracking:
            self._tracking.show(samples, step)


def _show_pairs(writer: SummaryWriter, samples: Samples, step: int, sample_rate: int) -> None:
    """Write each pair as a picture and a sound, and a table of what the model thinks of them."""
    lines = ["| pair | the sound is | probability that they correspond |", "|---|---|---|"]
    for number, picture in enumerate(samples.pictures):
        writer.add_image(f"pairs/{number + 1}", picture, step, dataformats="HWC")
        # TensorBoard shows a tag on one page only, so the sound has another one.
        writer.add_audio(f"sounds/{number + 1}", samples.sounds[number][None], step, sample_rate)
        whose = "the frame's own" if samples.matches[number] else "another's"
        lines.append(f"| {number + 1} | {whose} | {samples.probabilities[number].item():.3f} |")
    writer.add_text("pairs", "\n".join(lines), step)
    writer.flush()


def _map_embeddings(folder: Path, samples: Samples, step: int) -> None:
    """Write the vectors of images and sounds, as one map, into a folder for TensorBoard's projector."""
    shutil.rmtree(folder, ignore_errors=True)
    rows = [[side, pair, video] for side in ("image", "sound") for pair, video in enumerate(samples.videos.tolist())]
    vectors = torch.cat([samples.images, samples.audio])
    writer = SummaryWriter(str(folder))
    writer.add_embedding(vectors, rows, samples.thumbnails, step, f"step {step}", ["side", "pair", "video"])
    writer.close()
