"""Do all of it on a corpus rendered for the purpose."""

import argparse
from pathlib import Path

from .errors import CommandError
from .parser import call, parse


def run(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    corpus, shards, folder = out / "corpus", out / "shards", out / "run"
    workers = ["--workers", arguments.workers]
    common = ["--config", "quickstart", *(word for text in arguments.set for word in ("--set", text))]
    steps = [
        ["corpus", "--out", corpus, "--clips", arguments.clips, "--seed", arguments.seed, *workers],
        ["shard", "--source", corpus / "corpus.csv", "--out", shards, *workers, *common],
        ["verify", shards, "--full"],
        ["info", shards],
        ["train", "--shards", shards, "--run", folder, "--resume", *common],
        ["eval", "--run", folder, "--shards", shards],
        ["report", "--run", folder],
    ]
    for number, step in enumerate(steps, 1):
        words = [str(word) for word in step]
        print(f"[{number}/{len(steps)}] avcorr {' '.join(words)}", flush=True)
        if call(parse(words)):
            raise CommandError(f"the demo stopped at {words[0]}")
    print(f"open {folder / 'report.html'} in a browser")
    return 0
