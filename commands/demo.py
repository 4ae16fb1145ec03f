"""Do all of it on a corpus rendered for the purpose."""

from pathlib import Path

from avcorr.errors import Error

from .options import Parser, add_overrides, add_workers, folder, natural, positive


def add_options(added: Parser) -> None:
    added.add_argument("--out", type=folder, default=Path("data/demo"), metavar="DIR", help="default: data/demo")
    added.add_argument("--clips", type=positive, default=800, metavar="N", help="clips to render (default 800)")
    added.add_argument("--seed", type=natural, default=0, metavar="S", help="seed of the corpus (default 0)")
    add_overrides(added)
    add_workers(added, "processes for rendering and sharding (default: one a core)")


def run(out: Path, clips: int, seed: int, settings: list[str], workers: int) -> None:
    from .parser import call, parse

    corpus, shards, folder = out / "corpus", out / "shards", out / "run"
    count = ["--workers", workers]
    common = ["--config", "quickstart", *(word for text in settings for word in ("--set", text))]
    steps = [
        ["corpus", "--out", corpus, "--clips", clips, "--seed", seed, *count],
        ["shard", "--source", corpus / "corpus.csv", "--out", shards, *count, *common],
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
            raise Error(f"the demo stopped at {words[0]}")
    print(f"open {folder / 'report.html'} in a browser")
