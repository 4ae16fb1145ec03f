"""Stream pairs of a frame and a second of sound, for a training of your own.

python examples/stream_pairs.py ROOT [pairs.workers=4 ...]
"""

import sys

import avcorr


def main(root: str, *settings: str) -> None:
    loader = avcorr.pairs(root, settings=settings, batch_size=16)
    for step, batch in zip(range(3), loader, strict=False):
        print(f"batch {step}: frames {tuple(batch.frames.shape)}, sound {tuple(batch.audio.shape)}, "
              f"{int(batch.matches.sum())} of {len(batch.matches)} match")  # fmt: skip
    print(f"to go on from here: {loader.state_dict()}")


if __name__ == "__main__":  # worker processes may import this file again
    main(*sys.argv[1:])
