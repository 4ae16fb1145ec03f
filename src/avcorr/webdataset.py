"""A stage for pipelines of the package webdataset: our three members to frames, sound and metadata.

import webdataset
from avcorr.webdataset import decode

clips = webdataset.WebDataset("data/shards/train/clips-train-{000000..000009}.tar", shardshuffle=True).map(decode())
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import simplejpeg
import soundfile
from numpy.typing import NDArray

from .shards.errors import ShardFormatError
from .shards.format.clip import MEMBERS, Clip

Choose = Callable[[NDArray[np.float64]], Sequence[int]]
"""From the times of all frames, seconds, to the numbers of those that are wanted."""


def decode(
    frames: Literal["rgb", "jpeg"] = "rgb",
    *,
    choose: Choose | None = None,
    dtype: Literal["int16", "float32"] = "int16",
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function for `.map(...)` that decodes a sample of webdataset.

    It takes the bytes under `json`, `wav` and `mjpg`, and gives, beside `__key__`, `__url__` and what else there is:

    - `json`: the metadata as a dict (shards/FORMAT.md);
    - `frames`: uint8 (F, H, W, 3), or a list of F JPEGs;
    - `times`: float64 (F,), seconds from the sound's beginning;
    - `audio`: (N, C), int16 or float32 in [-1, 1); `json["sample_rate"]` samples a second.

    Args:
        frames: decoded, or JPEGs as they are stored.
        choose: which frames; by default all. Only these are decoded.
        dtype: of the sound.

    Raises:
        ShardFormatError: by the function, where a member is missing or damaged.
    """

    def decode_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
        key = sample.get("__key__", "?")
        lacking = [suffix for suffix in MEMBERS if suffix not in sample]
        if lacking:
            raise ShardFormatError(f"sample {key} lacks its member {lacking[0]!r}: is it of a shard of avcorr?")
        try:
            metadata, wav, mjpg = (bytes(sample[suffix]) for suffix in MEMBERS)
            clip = Clip.read(metadata, wav, mjpg, key)
            times = np.asarray(clip.metadata.frame_times, np.float64)
            numbers = range(len(times)) if choose is None else [int(number) for number in choose(times)]
            jpegs = [bytes(clip.frame(number)) for number in numbers]
            shown = np.stack([simplejpeg.decode_jpeg(jpeg) for jpeg in jpegs]) if frames == "rgb" else jpegs
            audio, _ = soundfile.read(io.BytesIO(wav), dtype=dtype, always_2d=True)
        except (ValueError, IndexError, TypeError, ShardFormatError) as error:
            raise ShardFormatError(
                f"sample {key} cannot be decoded ({error}); avcorr verify --full says why"
            ) from error
        kept = {name: value for name, value in sample.items() if name not in MEMBERS}
        return kept | {
            "json": json.loads(sample["json"]),
            "frames": shown,
            "times": times[list(numbers)],
            "audio": audio,
        }

    return decode_sample
