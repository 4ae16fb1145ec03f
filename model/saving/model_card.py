"""The model card: what a network is, what it was trained on, what is known of it, how to use it."""

from collections.abc import Mapping
from typing import Any

from ..evaluation.figures import versions
from ..networks.network import CorrespondenceModel
from ..objectives.objectives import OBJECTIVES

CARD = """---
library_name: avcorr
tags: [audio-visual, correspondence, self-supervised, retrieval]
---

# {name}

Tells whether a sound belongs to a video frame, and turns both into vectors that can be compared. Trained without
labels.

| | |
|---|---|
{rows}

## Measured

{measured}

## Use

    import avcorr
    towers = avcorr.load(FOLDER)
    images = towers.embed_images(["frame.jpg"])   # (1, D), length 1
    sounds = towers.embed_audio(["sound.wav"])    # (1, D), length 1
    towers.probability(["frame.jpg"], ["sound.wav"])

## Use without avcorr

The shorter side of an image is scaled to {side} pixels by an antialiased bicubic filter, unless it is {size} x {size}
already, and the {size} x {size} in the middle are taken. Sound is resampled to {rate} Hz by a Kaiser-windowed sinc, and
the {samples} samples in the middle are taken; silence follows a shorter one. With `frame`, uint8 (H, W, 3), RGB, and
`sound`, int16 or floating point in [-1, 1], (N,), mono at `rate` Hz, numpy and onnxruntime give what avcorr gives:

```python
import numpy as np
from onnxruntime import InferenceSession

SIDE, SIZE, RATE, SAMPLES = {side}, {size}, {rate}, {samples}


def bicubic(found, wanted):
    scale = found / wanted
    x = np.abs(np.arange(found) + 0.5 - (np.arange(wanted)[:, None] + 0.5) * scale) / max(scale, 1)
    weights = np.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def prepare_image(frame):
    height, width = frame.shape[:2]
    if (height, width) != (SIZE, SIZE):
        scale = SIDE / min(height, width)
        frame = np.rint(bicubic(width, round(width * scale)) @ frame).clip(0, 255)
        frame = np.rint(np.tensordot(bicubic(height, round(height * scale)), frame, 1)).clip(0, 255)
    top, left = ((side - SIZE) // 2 for side in frame.shape[:2])
    return frame[None, top : top + SIZE, left : left + SIZE].astype(np.uint8)


def prepare_sound(sound, rate):
    wave = sound / 32768 if sound.dtype == np.int16 else sound
    up, down = RATE // np.gcd(rate, RATE), rate // np.gcd(rate, RATE)
    wide = 10 * max(up, down)
    taps = np.sinc(np.arange(-wide, wide + 1) * 10 / wide) * np.kaiser(2 * wide + 1, 5)
    length, reach = -(-len(wave) * up // down), wide // up + 1
    wanted = max(0, length - SAMPLES) // 2 + np.arange(min(length, SAMPLES))[:, None]
    near = wanted * down // up + np.arange(-reach, reach + 1)
    places = wanted * down - near * up + wide
    weights = np.where((0 <= places) & (places <= 2 * wide), taps[places.clip(0, 2 * wide)], 0) * up / taps.sum()
    resampled = (weights * np.pad(wave, (reach, 2 * reach))[near + reach]).sum(axis=1)
    pcm = np.rint(resampled * 32768).clip(-32768, 32767).astype(np.int16)
    return np.pad(pcm, (0, SAMPLES - len(pcm)))[None]


image = InferenceSession("image.onnx").run(None, {{"frames": prepare_image(frame)}})[0]  # (1, D), length 1
audio = InferenceSession("audio.onnx").run(None, {{"audio": prepare_sound(sound, rate)}})[0]
```

## Limits

- The network has seen what its training videos show; other sounds, places and recording habits are foreign to it.
- It learns what occurs together. That includes what is typical of videos and says nothing of their causes.
- It was not made to recognise people, and says nothing of whether a recording is genuine.
"""


def model_card(model: CorrespondenceModel, config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the card in Markdown.

    facts: "step", "dataset" (a name), "train_videos" (a count), "versions" (a mapping) and "evaluation" (the content of
    a metrics.json); what is missing is said to be unknown.
    """
    settings, train, pairs = model.settings, config["train"], config["pairs"]
    spectrogram = settings.spectrogram
    size, seconds = pairs["frame_size"], pairs["window_seconds"]
    bins = f"{spectrogram.bins} {'mel bands' if spectrogram.mel_bins else 'bins'}"
    rows = {
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "image": f"RGB, {size} x {size} pixels",
        "sound": f"mono, {spectrogram.sample_rate} Hz, {seconds:g} s, centred on the frame",
        "spectrogram": f"{bins}, window {spectrogram.window}, hop {spectrogram.hop}; inside the model",
        "trained on": f"{facts.get('dataset', 'unknown')}, {facts.get('train_videos', 'unknown')} source videos",
        "objective": OBJECTIVES[train["objective"]].words,
        "steps": f"{facts.get('step', 'unknown')} of {train['batch_size']} pairs",
        "rate, seed": f"{train['learning_rate']:g}, {train['seed']}",
        "made with": versions(facts.get("versions")),
    }
    described = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return CARD.format(
        name=settings.network.words, rows=described, measured="\n".join(_measured(facts)), size=size,
        side=max(config["shard"]["short_side"], size), rate=spectrogram.sample_rate,
        samples=round(seconds * spectrogram.sample_rate),
    )  # fmt: skip


def _measured(facts: Mapping[str, Any]) -> list[str]:
    evaluation = facts.get("evaluation")
    if not evaluation:
        return ["Nothing yet: `avcorr eval` measures, and `avcorr export` then writes it here."]
    avc = evaluation["avc"]
    low, high = (100 * bound for bound in avc["interval"])
    lines = [
        f"On {evaluation['clips']} held-out clips of {evaluation['videos']} source videos, split "
        f"`{evaluation['split']}`, gallery {evaluation['gallery_sha256'][:12]}:",
        "",
        "| | value | chance |",
        "|---|---|---|",
        f"| correspondence, accuracy over {avc['pairs']} pairs | {100 * avc['accuracy']:.1f} % "
        f"({low:.1f} to {high:.1f}) | 50 % |",
    ]
    for direction, row in evaluation["retrieval"].items():
        for metric, chance in row["chance"].items():
            if metric.startswith(("recall_at", "instance_recall_at", "ndcg")) and metric in row:
                words = f"{direction} {metric}".replace("_", " ")
                lines.append(f"| {words} | {100 * row[metric]:.1f} % | {100 * chance:.1f} % |")
    return lines
