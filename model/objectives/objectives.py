"""Registry of the objectives and of what each needs; free of torch, so that a configuration is checked at once.

Another objective is a file in this folder with a function `losses`, an entry here, and its name in
`TrainSettings.objective`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .losses import LossFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Declaration of an objective, for the configuration, the optimiser, the log and the model card."""

    file: str
    words: str
    """What it is, for the model card."""
    chance_loss: Callable[[int], float] = lambda pairs: math.log(2.0)
    """Loss in nats of a model that looks at nothing, from the number of pairs of a batch."""
    needs_aligned_pairs: bool = True
    """Whether all pairs of a batch must match, because it makes its negatives inside the batch."""
    needs_shared_space: bool = False
    """Whether it compares any image with any audio by their distance."""
    head_rate: float = 1.0
    """Multiple of the learning rate that the head's parameters have."""
    adds_pair_loss: bool = False
    """Whether its loss is one of the towers plus the head's own, `pair_loss`; `chance_loss` is that of the first."""

    def load(self) -> "LossFunction":
        """Return the function that computes it; imports torch."""
        function: LossFunction = import_module(f".{self.file}", __package__).losses
        return function


def _sigmoid_chance(pairs: int) -> float:
    """Return the cross-entropies of one match and B - 1 mismatches, each guessed with probability 1 / B."""
    return math.log(pairs) + (pairs - 1) * math.log(pairs / (pairs - 1))


OBJECTIVES = {
    "pair": Objective(file="pair", words="cross-entropy on matching and mismatching pairs", needs_aligned_pairs=False),
    "deranged": Objective(
        file="deranged", words="cross-entropy on matching pairs and as many mismatching ones of the same batch"
    ),
    "contrastive": Objective(
        file="contrastive",
        words="symmetric InfoNCE over the batch, the correspondence head beside it",
        chance_loss=math.log,
        needs_shared_space=True,
        # The head's two scalars learn apart from the towers and must follow a threshold that the towers move, and
        # Adam moves a parameter by about its rate a step. After 200 steps on weakly related made-up pairs, where
        # the best threshold separated 68 %: factor 1 separated 50 %, 10 58 %, 30 67 %, 100 67 %.
        head_rate=30.0,
        adds_pair_loss=True,
    ),
    "sigmoid": Objective(
        file="sigmoid",
        words="cross-entropy on all pairs of the batch",
        chance_loss=_sigmoid_chance,
        needs_shared_space=True,
    ),
}
