"""The command line: parse, load the configuration, call the parts, turn errors into exit codes.

Results go to stdout, the log and progress to stderr. Exit codes: 0 done, 1 a known error in one line, 2 usage, 130
interrupted. Nothing heavy is imported before a command needs it.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

logger = logging.getLogger("run")
ROOT = Path(__file__).resolve().parent
QUICKSTART = ROOT / "configs" / "quickstart.yaml"
CONFIG_HELP = "YAML file; configs/vggsound.yaml is the paper's run, configs/quickstart.yaml the demo's"


class CommandError(Exception):
    """A command that cannot do what was asked."""


def corpus(arguments: argparse.Namespace) -> int:
    """Render a procedural corpus of videos with sound."""
    from tqdm import tqdm

    from pipeline.corpus.render import render_corpus
    from pipeline.ffmpeg import find_ffmpeg

    binary = find_ffmpeg(arguments.ffmpeg)
    with tqdm(total=arguments.clips, unit="clip", disable=None, desc="corpus") as bar:
        path = render_corpus(
            arguments.out, arguments.clips, arguments.seed, arguments.workers, binary,
            progress=lambda done, total: bar.update(done - bar.n),
        )  # fmt: skip
    print(f"{arguments.clips} clips in {path}")
    return 0


def shard(arguments: argparse.Namespace) -> int:
    """Decode videos into shards."""
    from pipeline.pack import pack
    from pipeline.sources import find_sources

    settings = _config(arguments).shard
    sources = find_sources(
        arguments.source, videos=arguments.videos, test_fraction=settings.test_fraction, seed=settings.seed
    )
    summary = pack(sources, arguments.out, settings, workers=arguments.workers)
    skipped = f" + skipped {summary.skipped}" if summary.skipped else ""
    print(f"inputs {summary.inputs} = packed {summary.packed} + failed {summary.failed}{skipped}")
    for code, count in summary.reasons.items():
        print(f"  {code}: {count}")
    print(f"{summary.shards} shards, {summary.size / 1e6:.1f} MB, in {summary.seconds:.1f} s: {arguments.out}")
    if not summary.packed:
        raise CommandError(
            f"nothing could be packed; {arguments.out / '.avcorr' / 'ledger.jsonl'} says why for each input"
        )
    if arguments.strict and summary.failed:
        raise CommandError(f"{summary.failed} inputs failed and --strict was given; the ledger says why")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check shards against their index and their format."""
    from shards.index import Index
    from shards.verify import verify as find_problems

    count = 0
    for problem in find_problems(arguments.root, full=arguments.full):
        print(f"{problem.where}: {problem.code}: {problem.message}")
        count += 1
    if count:
        raise CommandError(f"{count} problems in {arguments.root}")
    packed = [record for record in Index(arguments.root).shards if record.clips]
    clips = sum(len(record.clips) for record in packed)
    depth = "every byte" if arguments.full else "sizes, ends and index; --full reads every byte"
    print(f"all well: {len(packed)} shards, {clips} clips ({depth})")
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Describe a dataset."""
    from pipeline.summary import describe, summarise

    facts = summarise(arguments.root)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if arguments.json else describe(facts))
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train the correspondence model on a stream of pairs."""
    from configs.load import dump_config, load_config
    from model.checkpoint import latest_checkpoint, list_checkpoints, require_same_config
    from model.correspondence import build_model
    from model.device import resolve_device
    from model.trainer import fit
    from pipeline.loader import load_pairs
    from pipeline.sampler import PairDataset
    from shards.index import Index, write_atomically

    run: Path = arguments.run
    resumes = arguments.resume and bool(list_checkpoints(run))
    if list_checkpoints(run) and not resumes:
        raise CommandError(f"{run} holds checkpoints of an earlier training; go on with --resume or give another --run")
    saved = run / "config.yaml"
    path = saved if arguments.resume and arguments.config is None and saved.exists() else arguments.config
    config = load_config(path, arguments.set)
    start = latest_checkpoint(run) if resumes else None
    if start:
        free = _FREE_ON_RESUME + (("train.steps",) if config.train.schedule == "constant" else ())
        require_same_config(start, config.model_dump(), free=free)
        logger.info("going on at step %d of %d", start.step, config.train.steps)
    dataset = PairDataset(
        arguments.shards, config.pairs, batch_size=config.train.batch_size, seed=config.train.seed,
        start=start.step if start else 0,
    )  # fmt: skip
    videos = sorted(Index(arguments.shards).videos(config.pairs.split))
    write_atomically(run / "videos.json", json.dumps(videos).encode())
    write_atomically(saved, dump_config(config).encode())
    summary = fit(
        build_model(config.model, config.train.seed), load_pairs(dataset), config.train, run,
        config=config.model_dump(), start=start, device=resolve_device(config.train.device),
    )  # fmt: skip
    done = "" if summary.loss is None else f", loss {summary.loss:.4f}, accuracy {summary.accuracy:.3f}"
    print(f"step {summary.step}{done}: {summary.checkpoint}")
    return 0


_FREE_ON_RESUME = ("shard", "eval", "train.checkpoint_every", "train.log_every",
                   "train.keep_checkpoints", "train.device", "train.compile")  # fmt: skip
"""Settings that may change when a run goes on; the number of steps too, unless the schedule depends on it."""


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure accuracy and retrieval on held-out clips."""
    from configs.load import load_config
    from model.avc import Head
    from model.checkpoint import load_model
    from model.device import resolve_device
    from model.embed import embed
    from model.evaluate import evaluate as measure
    from model.evaluate import table, write_evaluation
    from pipeline.gallery import Gallery
    from shards.index import Index

    run: Path = arguments.run
    config = load_config(_saved_config(run), arguments.set)
    trained = _trained_videos(run)
    index = Index(arguments.shards)
    overlap = index.videos(config.eval.split) & trained
    if overlap:
        raise CommandError(
            f"{len(overlap)} source videos of the split {config.eval.split!r} of {arguments.shards} were trained on "
            f"({min(overlap)} for one); evaluate another split with --set eval.split=NAME"
        )
    device = resolve_device(config.train.device)
    model, _, step = load_model(run, device)
    gallery = Gallery(
        arguments.shards, config.eval.split, views_per_clip=config.eval.views_per_clip, seed=config.eval.seed,
        frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
    )  # fmt: skip
    embeddings = embed(model, gallery.batches(config.eval.batch_size), device)
    if gallery.too_short:
        logger.warning("%d clips are too short for a window and were left out", gallery.too_short)
    facts = {
        "step": step,
        "dataset": index.dataset["settings"]["name"],
        "train_videos": len(trained),
        "left_out_too_short": gallery.too_short,
        "versions": {name: _version(name) for name in ("torch", "torchvision", "webdataset", "simplejpeg", "numpy")},
    }
    evaluation = measure(embeddings, gallery.clips, Head(*model.head.coefficients()), config.eval, facts)
    path = write_evaluation(evaluation, run, gallery.media(evaluation.wanted))
    print(table(evaluation.metrics))
    logger.info("written: %s", path)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write one self-contained page about a run."""
    from model.report.page import write_report

    print(write_report(arguments.run))
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Do all of it on a corpus rendered for the purpose."""
    out: Path = arguments.out
    corpus_folder, shards_folder, run_folder = out / "corpus", out / "shards", out / "run"
    workers = str(arguments.workers)
    common = ["--config", str(QUICKSTART), *(word for text in arguments.set for word in ("--set", text))]
    steps = [
        ["corpus", "--out", corpus_folder, "--clips", arguments.clips, "--seed", arguments.seed, "--workers", workers],
        ["shard", "--source", corpus_folder / "corpus.csv", "--out", shards_folder, "--workers", workers, *common],
        ["verify", shards_folder, "--full"],
        ["info", shards_folder],
        ["train", "--shards", shards_folder, "--run", run_folder, "--resume", *common],
        ["eval", "--run", run_folder, "--shards", shards_folder],
        ["report", "--run", run_folder],
    ]
    for number, step in enumerate(steps, 1):
        words = [str(word) for word in step]
        print(f"[{number}/{len(steps)}] python run.py {' '.join(words)}", flush=True)
        if main(words + (["--debug"] if arguments.debug else [])):
            raise CommandError(f"the demo stopped at {words[0]}; the line above says why")
    print(f"open {run_folder / 'report.html'} in a browser")
    return 0


def _config(arguments: argparse.Namespace) -> Any:
    from configs.load import load_config

    return load_config(arguments.config, arguments.set)


def _saved_config(run: Path) -> Path:
    path = run / "config.yaml"
    if not path.exists():
        raise CommandError(f"{run} is no run folder (no config.yaml); make one with: run.py train --run {run}")
    return path


def _trained_videos(run: Path) -> set[str]:
    path = run / "videos.json"
    try:
        return set(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read, so clips that were trained on cannot be told: {error}") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description="Shard videos with sound, stream pairs from the shards, learn what belongs together."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Any, example: str) -> argparse.ArgumentParser:
        summary, example = function.__doc__.splitlines()[0], f"example: run.py {example}"
        added = commands.add_parser(name, help=summary, description=summary, epilog=example)
        added.set_defaults(function=function)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error, and a fuller log")
        return added

    def configurable(added: argparse.ArgumentParser) -> None:
        added.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
        added.add_argument(
            "--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable"
        )

    def workers(added: argparse.ArgumentParser, what: str) -> None:
        added.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, metavar="W", help=what)

    added = command("corpus", corpus, "corpus --out data/corpus --clips 100 --seed 0")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the videos and corpus.csv")
    added.add_argument("--clips", type=_positive, required=True, metavar="N", help="number of ten-second clips")
    added.add_argument("--seed", type=_natural, default=0, metavar="S", help="decides every clip (default 0)")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="ffmpeg to encode with; default: imageio-ffmpeg's")
    workers(added, "processes (default: one a core)")

    added = command("shard", shard, "shard --source videos/ --out data/shards")
    sources = "folder of videos, VGGSound's CSV, or a CSV with the header path,label,split,start,duration"
    added.add_argument("--source", type=Path, required=True, metavar="DIR_OR_CSV", help=sources)
    added.add_argument("--videos", type=Path, metavar="DIR", help="folder of <id>_<start>.mp4, for VGGSound's CSV")
    added.add_argument("--out", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--strict", action="store_true", help="exit with 1 if any input failed")
    workers(added, "ffmpeg processes at once (default: one a core)")
    configurable(added)

    added = command("verify", verify, "verify data/shards --full")
    added.add_argument("root", type=Path, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--full", action="store_true", help="read every byte and check every member")

    added = command("info", info, "info data/shards --json")
    added.add_argument("root", type=Path, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--json", action="store_true", help="print one JSON object")

    added = command("train", train, "train --shards data/shards --run runs/a --config configs/vggsound.yaml")
    added.add_argument("--shards", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder for checkpoints and metrics")
    added.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    configurable(added)

    added = command("eval", evaluate, "eval --run runs/a --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--shards", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable")

    added = command("report", report, "report --run runs/a")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")

    added = command("demo", demo, "demo --out data/demo")
    added.add_argument("--out", type=Path, default=Path("data/demo"), metavar="DIR", help="default: data/demo")
    added.add_argument("--clips", type=_positive, default=800, metavar="N", help="clips to render (default 800)")
    added.add_argument("--seed", type=_natural, default=0, metavar="S", help="seed of the corpus (default 0)")
    added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable")
    workers(added, "processes for rendering and sharding (default: one a core)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {value}")
    return value


def _known_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are told in one line; imported only once something went wrong."""
    from configs.load import ConfigError
    from model.errors import ModelError
    from pipeline.errors import PipelineError
    from shards.errors import ShardError

    return CommandError, ConfigError, PipelineError, ShardError, ModelError, OSError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = _parser().parse_args(argv)
    level = logging.DEBUG if arguments.debug else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("run", "pipeline", "model", "shards", "configs"):
        logging.getLogger(name).setLevel(level)
    try:
        code: int = arguments.function(arguments)
        return code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone; there is nobody to tell
        return 0
    except Exception as error:
        if arguments.debug or not isinstance(error, _known_errors()):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
