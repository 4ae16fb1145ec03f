"""A run folder that is made up, as training and evaluation leave it."""

import io
import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from avcorr.model.embedding.embed import Embeddings
from avcorr.model.evaluation.evaluate import Evaluation, Plan, evaluate
from avcorr.model.evaluation.evaluation_folder import write_evaluation
from avcorr.model.evaluation.examples import View
from avcorr.model.evaluation.scorer import DistanceScorer
from avcorr.model.settings import EvalSettings
from avcorr.pipeline.correspondence.negatives import derange

HEAD = DistanceScorer(6.0, 6.6)
RATE = 8000  # of the sounds, Hz
LABELS = ("dog barking", "snare drum", "<script>alert(1)</script>", "rain & wind")

FORGED_LINES = (
    b'{"step": 3, "loss": \xff}\n', b"[" * 5000 + b"\n", b'{"step": "3"}\n', b'{"step": true}\n', b'{"step": -1}\n',
    b'{"step": 1e400}\n', b'{"step": 2, "loss": NaN}\n', b"[]\n", b"null\n", b"\n", b'{"step": ' + b"9" * 5000 + b"}\n",
)  # fmt: skip
"""Lines of metrics.jsonl that are none."""


@dataclass(frozen=True)
class Clip:
    key: str
    video: str
    label: str


class Locating(DistanceScorer):
    """A scorer that places a sound in the middle of its frame, with more or less certainty."""

    def heat_maps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[-1:1:7j, -1:1:7j]
        probability = 1 / (1 + np.exp(self.slope * self.gaps(image, audio) - self.bias))
        return probability[:, None, None] * np.exp(-3 * (x * x + y * y))


def fabricate_evaluation(
    labels: tuple[str, ...] = LABELS, clips: int = 48, noise: float = 0.5, scorer: DistanceScorer = HEAD
) -> Evaluation:
    """Embeddings with class structure: clips of a label lie together, sound and frame of a clip closer still."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(len(labels), 128))
    own = np.repeat(centres[np.arange(clips) % len(labels)] + generator.normal(size=(clips, 128)), 3, axis=0)
    image, audio = (own + noise * generator.normal(size=own.shape) for _ in range(2))
    image, audio = (
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32) for vectors in (image, audio)
    )
    records = [Clip(f"clip-{index:05d}", f"video-{index // 2}", labels[index % len(labels)]) for index in range(clips)]
    embeddings = Embeddings(image, audio, np.repeat(np.arange(clips), 3), np.tile([1.5, 3.5, 5.5], clips))
    run_info = {
        "step": 4000,
        "dataset": "made-up",
        "train_videos": 1200,
        "versions": {"numpy": np.__version__},
        "decoders": {"ffmpeg": "7.1", "simplejpeg": "1.9"},
    }
    views = np.arange(3 * clips).reshape(clips, 3)
    plan = Plan(views, views[:, 1:2])
    return evaluate(embeddings, records, plan, scorer, EvalSettings(bootstrap=200), run_info, derange=derange)


def fabricate_media(
    views: list[View], labels: tuple[str, ...] = LABELS, size: int = 64
) -> dict[View, tuple[bytes, bytes]]:
    """A picture and a second of sound per view: hue and pitch go with the label."""
    media = {}
    for clip, seconds in views:
        kind = clip % len(labels)
        y, x = np.mgrid[0:size, 0:size] / size
        phase = kind * 0.7 + clip * 0.05
        waves = [
            128 + 90 * np.sin(6 * (x * np.cos(phase) + y * np.sin(phase)) + kind + part * 1.3) for part in range(3)
        ]
        picture, sound = io.BytesIO(), io.BytesIO()
        Image.fromarray(np.stack(waves, axis=2).astype(np.uint8)).save(picture, "JPEG")
        tone = 0.2 * np.sin(2 * np.pi * (220 + 60 * kind) * np.arange(RATE) / RATE)
        with wave.open(sound, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            file.writeframes((32767 * tone).astype("<i2").tobytes())
        media[(clip, seconds)] = (picture.getvalue(), sound.getvalue())
    return media


def fabricate_run(run: Path, steps: int = 4000, labels: tuple[str, ...] = LABELS, *, localises: bool = False) -> Path:
    """A whole run folder, as training and evaluation leave it."""
    run.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(20, steps + 1, 20):
            gain = 1 - np.exp(-step / 900)
            row = {
                "step": step,
                "loss": float(0.7 - 0.32 * gain + 0.03 * generator.normal()),
                "accuracy": float(0.5 + 0.34 * gain + 0.02 * generator.normal()),
                "pairs_per_second": float(4100 + 120 * generator.normal()),
                "learning_rate": 1e-3 * min(1.0, step / 400),
            }
            file.write(json.dumps(row) + "\n")
    (run / "config.yaml").write_text(yaml.safe_dump({"train": {"steps": steps, "batch_size": 256}}))
    evaluation = fabricate_evaluation(labels, scorer=Locating(*HEAD) if localises else HEAD)
    media = fabricate_media(evaluation.wanted, labels)
    write_evaluation(evaluation, run, media, {view: media[view][0] for view in evaluation.located})
    return run
