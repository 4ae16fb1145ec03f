"""Checks that run with every evaluation, of what must hold whatever the model has learned.

A figure can be wrong without looking wrong: padding that leaks into embeddings, batch statistics, pairs that betray
themselves. Each check fails where that has happened, and the table says so above the results.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..embedding.embed import AT_ONCE, Embeddings, Views, embed
from ..networks.network import CorrespondenceModel
from .pairing import Derange, Pairs
from .retrieval import own_ranks
from .scorer import PairScorer

DEVIATIONS = 4.0  # of chance, before it is called a failure: once in 16,000 evaluations without one
LARGEST_DIFFERENCE = 5e-3  # of unit vectors that ought to be equal; fp32 on a CPU stays below 1e-5, TF32 does not
VIEWS_ALONE = 4


@dataclass(frozen=True)
class Check:
    """One check: whether it passed, or None where it could not be made, and what was found."""

    name: str
    passed: bool | None
    detail: str


def shuffled_pairs(
    head_inputs: tuple[np.ndarray, np.ndarray],
    negatives: Pairs,
    videos: np.ndarray,
    scorer: PairScorer,
    seed: int,
    derange: Derange,
) -> Check:
    """Check that correspondence is at chance once the frames of the positive pairs have lost their own sounds.

    In place of its own each frame is given the sound of a random clip of another video. Where the evaluation's
    negatives are drawn without favour they are just as easy, and half of the decisions are right.

    head_inputs: features of image and audio, (V, ...) each. The rest is as of `check_all`.
    """
    image, audio = head_inputs
    dealt = negatives.frames[derange(videos[negatives.clips], np.random.default_rng([seed, 3]))]
    calls = [
        scorer.bias - scorer.slope * scorer.gaps(image[negatives.frames], audio[sounds]) > 0
        for sounds in (dealt, negatives.sounds)
    ]
    difference = calls[0].astype(float) - calls[1]
    # Without favour, the sign of each video's difference is a coin.
    owners = np.unique(videos[negatives.clips], return_inverse=True)[1]
    error = float(np.sqrt(np.square(np.bincount(owners, difference)).sum())) / (2 * len(dealt))
    accuracy = 0.5 + float(difference.mean()) / 2
    detail = f"accuracy {100 * accuracy:.1f} % over {2 * len(dealt)} shuffled pairs, chance 50 %"
    return Check("shuffled pairs", abs(accuracy - 0.5) <= DEVIATIONS * error + 1e-9, detail)


def shuffled_retrieval(image: np.ndarray, audio: np.ndarray, seed: int) -> Check:
    """Check that the own clip has a random rank when the sounds are dealt out anew; image, audio: float32 (C, D)."""
    count = len(image)
    dealt = np.random.default_rng([seed, 4]).permutation(count)
    ranks = own_ranks(image, audio[dealt], seed)
    mean, expected = float(ranks.mean()), (count + 1) / 2
    error = np.sqrt((count * count - 1) / 12 / count)
    detail = f"mean rank {mean:.1f} of {count} in a shuffled gallery, chance {expected:.1f}"
    return Check("shuffled retrieval", bool(abs(mean - expected) <= DEVIATIONS * error), detail)


def constant_inputs(model: CorrespondenceModel, batch: Views, scorer: PairScorer, device: torch.device) -> list[Check]:
    """Check that silence always gives one embedding, and black frames too, whatever is beside them in the batch.

    Then no pair with them can tell a match from a mismatch. Says how many of them the model takes for a match.
    """
    half = max(1, len(batch.clips) // 2)
    frames, audio = batch.frames.clone(), batch.audio.clone()
    frames[:half], audio[-half:] = 0, 0
    views = embed(model, [batch._replace(frames=frames, audio=audio)], device)
    called = scorer.bias - scorer.slope * scorer.gaps(*views.head_inputs) > 0
    checks = []
    for name, vectors, calls in (
        ("silence", views.audio[-half:], called[-half:]),
        ("black frames", views.image[:half], called[:half]),
    ):
        spread = float(np.abs(vectors - vectors[:1]).max())
        matches = f"{calls.sum()} of {half} pairs with it are called a match"
        detail = f"{half} embeddings differ by {spread:.1g} at most; {matches}"
        checks.append(Check(name, spread <= LARGEST_DIFFERENCE, detail))
    return checks


def batch_invariance(model: CorrespondenceModel, batch: Views, embeddings: Embeddings, device: torch.device) -> Check:
    """Check that a view has the same embedding alone in a batch and among others; row i of both is the same view."""
    count, worst = min(VIEWS_ALONE, len(batch.clips)), 0.0
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            for row in range(count):
                image = model.to_embeddings(model.image_features(batch.frames[row : row + 1].to(device)))
                audio = model.to_embeddings(model.audio_features(batch.audio[row : row + 1].to(device)))
                for alone, among in ((image, embeddings.image), (audio, embeddings.audio)):
                    worst = max(worst, float(np.abs(alone.float().cpu().numpy()[0] - among[row]).max()))
    finally:
        model.train(was_training)
    detail = f"{count} views alone and {AT_ONCE} at a time: embeddings differ by {worst:.1g} at most"
    return Check("batch size", worst <= LARGEST_DIFFERENCE, detail)


def check_all(
    model: CorrespondenceModel,
    batch: Views,
    embeddings: Embeddings,
    negatives: Pairs,
    videos: np.ndarray,
    scorer: PairScorer,
    device: torch.device,
    seed: int,
    derange: Derange,
) -> list[Check]:
    """Make all checks of a model and its embeddings.

    Args:
        model: the towers, on `device`.
        batch: the first views of the embeddings.
        negatives: a negative pair of each of C clips, of another video.
        videos: (C,) source videos.
        scorer: what decides whether a pair corresponds.
    """
    return [
        shuffled_pairs(embeddings.head_inputs, negatives, videos, scorer, seed, derange),
        shuffled_retrieval(embeddings.image[negatives.frames], embeddings.audio[negatives.frames], seed),
        *constant_inputs(model, batch, scorer, device),
        batch_invariance(model, batch, embeddings, device),
    ]
