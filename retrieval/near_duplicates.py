"""Whether two clips are the same recording: re-encoded, cut otherwise or uploaded twice.

Embeddings cannot tell: to a good model all barking dogs are alike. So each view has a hash of its picture: 256 bits,
each whether a cell of a 16 x 16 grid is brighter than its left neighbour. Different rendered clips of one class differ
in 42 bits or more in their most similar frames, a re-encoded copy in a few.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 16
HASH_BYTES = SIDE * SIDE // 8
BITS = 24
"""Pictures whose hashes differ in more bits are different."""
COSINE = 0.9
"""So are sounds whose embeddings have a smaller cosine: the same picture may stand over another sound."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def picture_hashes(frames: Bytes) -> Bytes:
    """Return hashes (B, 32) of RGB frames (B, H, W, 3)."""
    hashes = np.empty((len(frames), HASH_BYTES), np.uint8)
    for number, frame in enumerate(frames):
        grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
        hashes[number] = np.packbits(grey[:, 1:] > grey[:, :-1])
    return hashes


def alike(hashes: Bytes, sounds: Floats, other_hashes: Bytes, other_sounds: Floats) -> NDArray[np.bool_]:
    """Return (V, W): whether view v looks and sounds like the other view w; hashes (V, 32), unit vectors (V, D)."""
    bits = np.bitwise_count(hashes[:, None] ^ other_hashes[None]).sum(axis=-1, dtype=np.int64)
    similar: NDArray[np.bool_] = (bits <= BITS) & (sounds @ other_sounds.T >= COSINE)
    return similar
