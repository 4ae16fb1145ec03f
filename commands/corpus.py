"""Render a procedural corpus of videos with sound."""

import argparse

from tqdm import tqdm

from avcorr.corpus.render import render_corpus
from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg


def run(arguments: argparse.Namespace) -> int:
    binary = find_ffmpeg(arguments.ffmpeg)
    with tqdm(total=arguments.clips, unit="clip", disable=None, desc="corpus") as bar:
        path = render_corpus(
            arguments.out, arguments.clips, arguments.seed, arguments.workers, binary,
            progress=lambda done, total: bar.update(done - bar.n),
        )  # fmt: skip
    print(f"{arguments.clips} clips in {path}")
    return 0
