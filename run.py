"""The command line: parse, load the configuration, call the parts, turn errors into exit codes.

Results go to stdout, the log and progress to stderr. Exit codes: 0 done, 1 a known error in one line, 2 usage, 130
interrupted. Nothing heavy is imported before a command needs it.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from configs.arguments import build_parser

logger = logging.getLogger("run")
ROOT = Path(__file__).resolve().parent
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


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
    from pipeline.estimate import estimate
    from pipeline.pack import pack
    from pipeline.prepare import read_sources
    from pipeline.repair import remember_sources
    from shards.exports.dali import write_dali
    from shards.exports.energon import write_energon

    settings = _config(arguments).shard
    retry = _codes(arguments.retry)
    sources = read_sources(
        arguments.source, arguments.out, settings, videos=arguments.videos, workers=arguments.workers,
        dry_run=arguments.dry_run,
    )  # fmt: skip
    shared, example = sources.in_two_splits()
    if shared:
        logger.warning("the list puts %d source videos into two splits, %s for one", shared, example)
    plan = estimate(sources, settings).describe()
    if arguments.dry_run:
        print(plan)
        return 0
    logger.info("%s", plan)
    summary = pack(sources, arguments.out, settings, workers=arguments.workers, retry=retry)
    remember_sources(arguments.out, arguments.source, arguments.videos)
    skipped = f" + skipped {summary.skipped}" if summary.skipped else ""
    print(f"inputs {summary.inputs} = packed {summary.packed} + failed {summary.failed}{skipped}")
    for code, count in summary.reasons.items():
        print(f"  {code}: {count}")
    print(f"{summary.shards} shards, {summary.size / 1e6:.1f} MB, in {summary.seconds:.1f} s: {arguments.out}")
    if not summary.packed:
        raise CommandError(
            f"nothing could be packed; {arguments.out / '.avcorr' / 'ledger.jsonl'} says why for each input"
        )
    if arguments.energon:
        write_energon(arguments.out)
    if arguments.dali:
        write_dali(arguments.out)
    if arguments.strict and summary.failed:
        raise CommandError(f"{summary.failed} inputs failed and --strict was given; the ledger says why")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check shards against their index and their format."""
    from tqdm import tqdm

    from shards.verify import Audit
    from shards.verify import verify as find_problems

    count, total = Counter[str](), Counter[str]()
    with tqdm(unit="B", unit_scale=True, disable=None, desc="verify") as bar:

        def note(audit: Audit) -> None:
            total.update(shards=bool(audit.clips), clips=audit.clips, bytes=audit.size)
            bar.update(audit.size)
            bar.set_postfix(problems=sum(count.values()), refresh=False)

        for problem in find_problems(arguments.root, full=arguments.full, workers=arguments.workers, progress=note):
            count[problem.code] += problem.is_failure
            with bar.external_write_mode(file=sys.stdout):
                text = f"{problem.where}: {problem.code}: {problem.message}"
                print(json.dumps(problem.to_json()) if arguments.json else text)
    problems = sum(count.values())
    if arguments.json:
        print(json.dumps({"summary": {
            "root": str(arguments.root), "full": arguments.full, "ok": not problems, "problems": problems,
            "codes": dict(+count), "shards": total["shards"], "clips": total["clips"], "bytes": total["bytes"],
        }}))  # fmt: skip
    if problems:
        raise CommandError(f"{problems} problems in {arguments.root}; docs/verify.md explains each code, "
                           "and run.py repair mends what can be mended")  # fmt: skip
    if not arguments.json:
        depth = "every byte" if arguments.full else "sizes, ends and index; --full reads every byte"
        print(f"all well: {total['shards']} shards, {total['clips']} clips ({depth})")
    return 0


def repair(arguments: argparse.Namespace) -> int:
    """Make again what verify finds damaged, byte for byte as it was recorded."""
    from pipeline.prepare import read_sources
    from pipeline.repair import recall_sources, repair_settings
    from pipeline.repair import repair as mend

    root: Path = arguments.root
    given, videos = (arguments.source, arguments.videos) if arguments.source else recall_sources(root)
    settings = repair_settings(root, arguments.ffmpeg)
    sources = None
    if given and all(path.exists() for path in given):
        sources = read_sources(given, root, settings, videos=videos, workers=arguments.workers)
    elif given:
        logger.warning("the source %s is not there; only what needs no source is repaired", given[0])
    result = mend(root, sources, settings, workers=arguments.workers, delete_extra=arguments.delete_extra)
    for path, how in result.repaired.items():
        print(f"repaired: {path}: {how}")
    for path, why in result.failed.items():
        print(f"not repaired: {path}: {why}")
    if result.failed:
        raise CommandError(f"{len(result.failed)} things could not be repaired in {root}")
    print(f"all well: {len(result.repaired)} repaired")
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


def _codes(text: str) -> frozenset[str]:
    from pipeline.errors import REASONS

    codes = frozenset(text.split(",")) if text else frozenset()
    for code in sorted(codes - set(REASONS)):
        raise CommandError(f"--retry {code}: there is no such reason code; the codes are {', '.join(REASONS)}")
    return codes


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


COMMANDS = {
    "corpus": corpus, "shard": shard, "verify": verify, "repair": repair, "info": info, "train": train,
    "eval": evaluate, "report": report, "demo": demo,
}  # fmt: skip


def _known_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are told in one line; imported only once something went wrong."""
    from configs.load import ConfigError
    from model.errors import ModelError
    from pipeline.errors import PipelineError
    from shards.errors import ShardError

    return CommandError, ConfigError, PipelineError, ShardError, ModelError, OSError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = build_parser(COMMANDS).parse_args(argv)
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
