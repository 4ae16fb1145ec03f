"""Maps of the probability that the sound comes from a place, over frames of held-out clips."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..embedding.embed import Embeddings
from .pairing import Pairs
from .shown import Shown

HEAT_MAPS = 8


@runtime_checkable
class Locator(Protocol):
    """A scorer that says where the sound is."""

    def heat_maps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return the probability (M, H', W') that sound i comes from each place of frame i: features of M each."""


def heat_maps(
    embeddings: Embeddings, negatives: Pairs, scorer: Locator, seed: int, shown: Shown
) -> list[dict[str, Any]]:
    """Draw negatives of another video, and say where in the frame its own and the other sound are.

    Returns:
        What goes into heat_maps.json: [{"frame", "own", "other": {"sound", "places", "probability"}}, ...], where
        "own" has no sound, as it is the frame's; places: H' rows of W' probabilities from the top left of the centre
        crop; probability: the largest of them, by which the model decides.
    """
    rows = np.random.default_rng([seed, 5]).permutation(len(negatives.frames))[:HEAT_MAPS]
    image, audio = embeddings.head_inputs
    frames, sounds = negatives.frames[rows], negatives.sounds[rows]
    own, other = scorer.heat_maps(image[frames], audio[frames]), scorer.heat_maps(image[frames], audio[sounds])

    def described(places: np.ndarray) -> dict[str, Any]:
        return {"places": places.round(3).tolist(), "probability": round(float(places.max()), 4)}

    return [
        {
            "frame": shown.item(embeddings, frame),
            "own": described(own[row]),
            "other": {"sound": shown.item(embeddings, sound), **described(other[row])},
        }
        for row, (frame, sound) in enumerate(zip(frames.tolist(), sounds.tolist(), strict=True))
    ]
