"""Render a procedural corpus of videos with sound."""

from pathlib import Path

from .options import Parser, add_workers, folder, natural, positive


def add_options(added: Parser) -> None:
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="folder for the videos and corpus.csv")
    added.add_argument("--clips", type=positive, required=True, metavar="N", help="number of ten-second clips")
    added.add_argument("--seed", type=natural, default=0, metavar="S", help="decides every clip (default 0)")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="ffmpeg to encode with; default: imageio-ffmpeg's")
    add_workers(added, "processes (default: one a core)")


def run(out: Path, clips: int, seed: int, ffmpeg: str, workers: int) -> None:
    from tqdm import tqdm

    from avcorr.corpus.render import render_corpus
    from avcorr.files import writing_to
    from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg

    binary = find_ffmpeg(ffmpeg)
    with writing_to(out), tqdm(total=clips, unit="clip", disable=None, desc="corpus") as bar:
        path = render_corpus(
            out, clips, seed, workers, binary, progress=lambda done, total: bar.update(done - bar.n)
        )  # fmt: skip
    print(f"{clips} clips in {path}")
