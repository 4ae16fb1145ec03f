"""Samples on TensorBoard: pairs with their sound, and a map of embeddings for its projector."""

import shutil
from pathlib import Path

from torch import cat
from torch.utils.tensorboard import SummaryWriter

from .samples import Samples

MAP = "embeddings"
HEADER = ["side", "pair", "video"]


def show_pairs(writer: SummaryWriter, samples: Samples, step: int, sample_rate: int) -> None:
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


def map_embeddings(folder: Path, samples: Samples, step: int) -> None:
    """Write the vectors of images and sounds, as one map, into a folder for TensorBoard's projector."""
    shutil.rmtree(folder, ignore_errors=True)
    rows = [[side, pair, video] for side in ("image", "sound") for pair, video in enumerate(samples.videos.tolist())]
    vectors = cat([samples.images, samples.audio])
    writer = SummaryWriter(str(folder))
    writer.add_embedding(vectors, rows, samples.thumbnails, step, f"step {step}", HEADER)
    writer.close()
