"""Make the golden dataset of this format version anew: two clips with tiny frames and a short sound.

    python -m tests.golden.make

To be run once for a version of the format, and its result committed; later programs must read the very same files. No
decoder takes part: pictures and sound are drawn here, and every field of the metadata that is not named gets a value
by its type.
"""

import hashlib
import json
import math
import shutil
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import simplejpeg

from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import FORMAT_VERSION, Clip, ClipMetadata
from avcorr.shards.format.sound_codec import encode
from avcorr.shards.index.layout import DATASET, ShardName, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.writer import ShardWriter

FOLDER = Path(__file__).parent / f"v{FORMAT_VERSION}"
NAME = ShardName("golden", "train", 0)
RATE = 4000
BY_TYPE: dict[Any, Any] = {
    int: 1,
    float: 0.5,
    str: "text",
    bool: False,
    list[int]: [1],
    list[float]: [0.5],
    list[str]: ["text"],
}


def make_clip(number: int) -> Clip:
    """Draw a clip: a gradient that moves and a tone, 3 + number frames and 0.1 s more than half a second a number."""
    jpegs = [_picture(number, frame) for frame in range(3 + number)]
    count = RATE // 10 + RATE // 2 * number
    tone = (round(8000 * math.sin(2 * math.pi * 440 * (number + 1) * n / RATE)) for n in range(count))
    pcm = struct.pack(f"<{count}h", *tone)
    key = f"vGolden-{number}_000030"
    values = {name: BY_TYPE[kind] for name, kind in get_type_hints(ClipMetadata).items()}
    values |= {
        "format": FORMAT_VERSION, "key": key, "video": f"Golden-{number}", "source": f"Gölden-{number}.mp4",
        "label": "playing théremin" if number else "", "labels": ["playing théremin", "music"] if number else [""],
        "split": "train", "start": 30.0, "duration": count / RATE,
        "frame_times": [round(0.016683 + 0.25 * frame, 6) for frame in range(len(jpegs))],
        "frame_offsets": [sum(map(len, jpegs[:frame])) for frame in range(len(jpegs) + 1)],
        "width": 16, "height": 12, "sample_rate": RATE, "sample_count": count,
    }  # fmt: skip
    return Clip(ClipMetadata(**values), encode(pcm, RATE), b"".join(jpegs))


def _picture(number: int, frame: int) -> bytes:
    rows, columns = np.mgrid[0:12, 0:16]
    channels = (rows * 20, columns * 15, rows * 0 + 40 * frame + 60 * number)
    picture = np.stack(channels, axis=-1).astype(np.uint8)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=80, colorspace="RGB")


def describe(clip: Clip) -> dict[str, Any]:
    """Return what a reader must find in a clip."""
    frames = [bytes(clip.frame(number)) for number in range(clip.metadata.frame_count)]
    return {
        "metadata": asdict(clip.metadata),
        "wav_sha256": hashlib.sha256(clip.wav).hexdigest(),
        "frames_sha256": [hashlib.sha256(frame).hexdigest() for frame in frames],
    }


def main() -> None:
    """Write the dataset and what is expected of it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    clips = [make_clip(number) for number in range(2)]
    write_json(FOLDER / DATASET, {"format": FORMAT_VERSION, "settings": {"name": NAME.dataset}})
    rows = [{"key": clip.key, "source": clip.metadata.source, "split": "train", "status": "packed", "code": ""}
            for clip in clips]  # fmt: skip
    with ShardWriter(FOLDER, NAME, [clip.key for clip in clips]) as writer:
        for clip, row in zip(clips, rows, strict=True):
            writer.add(clip, row)
        record = writer.publish()
    write_ledger(FOLDER, rows)
    finish_dataset(FOLDER)
    expected = {"sha256": record.sha256, "clips": [describe(clip) for clip in clips]}
    path = FOLDER.with_suffix(".json")
    path.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
