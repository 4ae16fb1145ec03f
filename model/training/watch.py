"""Warnings from the course of the loss: stuck at chance, or diverging. They never stop a training."""

import logging
import math
from collections import deque

from ..settings import TrainSettings

AT_CHANCE = 0.02  # a loss this near to chance, as a share of it, has learned nothing yet
LOST = 1.5  # a loss this many times chance is worse than not looking
RECENT = 3  # lines of metrics

logger = logging.getLogger(__name__)


class Watch:
    """Follows the lines of metrics of one call of `fit`, which after a resume begins anew."""

    def __init__(self, settings: TrainSettings, step: int) -> None:
        self.settings, self.objective = settings, settings.chosen_objective
        self.chance = self.objective.chance_loss(settings.batch_size)
        self._begun, self._next_plateau = step, settings.plateau_steps
        self._first: float | None = None
        self._best = math.inf  # mean of RECENT lines
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._warned_of_divergence = False

    def see(self, metrics: dict[str, float]) -> None:
        """Take a line of metrics into account and warn where it is time to."""
        loss = metrics["loss_mean"] - (metrics["pair_loss"] if self.objective.adds_pair_loss else 0.0)
        self._first = loss if self._first is None else self._first
        self._recent.append(loss)
        if len(self._recent) == RECENT:
            self._best = min(self._best, sum(self._recent) / RECENT)
        step = int(metrics["step"])
        if not self._warned_of_divergence and self._diverges(self._first):
            self._warned_of_divergence = True
            logger.warning("%s", self._divergence(step, loss))
        since = step - self._begun
        if self._next_plateau and since >= self._next_plateau and self._best > (1.0 - AT_CHANCE) * self.chance:
            self._next_plateau = 2 * since
            logger.warning("%s", self._plateau(step, loss))

    def _diverges(self, first: float) -> bool:
        """Tell whether the loss is above chance after it was below, or far above both chance and its beginning."""
        if len(self._recent) < RECENT:
            return False
        lowest = min(self._recent)
        forgot = self._best < (1.0 - 2 * AT_CHANCE) * self.chance and lowest > (1.0 + AT_CHANCE) * self.chance
        return forgot or lowest > LOST * max(self.chance, first)

    def _divergence(self, step: int, loss: float) -> str:
        settings = self.settings
        return (
            f"step {step}: the loss diverges: {loss:.3f} now, {self._best:.3f} at best, {self.chance:.3f} for a guess. "
            f"Try a lower train.learning_rate (now {settings.learning_rate:g}), more train.warmup_steps (now "
            f"{settings.warmup_steps}) or train.gradient_clip 1 (now {settings.gradient_clip:g}); the best checkpoint "
            "is kept"
        )

    def _plateau(self, step: int, loss: float) -> str:
        settings = self.settings
        tries = ["train.warmup_steps"] if not settings.warmup_steps else []
        if not self.objective.needs_aligned_pairs:
            tries.append("train.objective contrastive with pairs.aligned true, which learns from all pairs of a batch")
        tries += [f"another train.learning_rate (now {settings.learning_rate:g})", "a larger train.batch_size"]
        return (
            f"step {step}: the loss is still {loss:.3f}, and {self.chance:.3f} is a guess: nothing is learned. Some "
            "runs leave this plateau on their own, some never. Look at the shards first (avcorr verify, avcorr info): "
            f"sound that does not belong to its frames cannot be learned. Then try {', '.join(tries)}"
        )
