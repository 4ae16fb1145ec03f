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

    from avcorr import model
    towers = model.load(FOLDER)
    images = towers.embed_images(["frame.jpg"])   # (1, D), length 1
    sounds = towers.embed_audio(["sound.wav"])    # (1, D), length 1
    towers.probability(["frame.jpg"], ["sound.wav"])

## Limits

- The network has seen what its training videos show; other sounds, places and recording habits are foreign to it.
- It learns what occurs together. That includes what is typical of videos and says nothing of their causes.
- It was not made to recognise people, and says nothing of whether a recording is genuine.
"""


def model_card(model: CorrespondenceModel, config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the card in Markdown.

    facts: "step", "dataset" (a name), "train_videos" (a count), "versions" (a mapping) and "evaluation" (the content of
    RUN/eval/metrics.json); what is missing is said to be unknown.
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
    return CARD.format(name=settings.network.words, rows=described, measured="\n".join(_measured(facts)))


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
