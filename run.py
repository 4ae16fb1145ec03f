"""The command line: parse, load the configuration, call the parts, turn errors into exit codes.

Results go to stdout, the log and progress to stderr. Exit codes: 0 done, 1 a known error in one line, 2 usage, 130
interrupted, 143 by SIGTERM. Nothing heavy is imported before a command needs it.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
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
    from pipeline.decoding.ffmpeg import find_ffmpeg

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
    from pipeline.packing.estimate import estimate
    from pipeline.packing.pack import pack
    from pipeline.packing.prepare import read_sources
    from pipeline.packing.repair import remember_sources
    from pipeline.packing.upload import Upload, default_work_folder
    from shards.exports.dali import write_dali
    from shards.exports.energon import write_energon
    from shards.store import is_remote, open_store

    settings = _config(arguments).shard
    retry = _codes(arguments.retry)
    remote = is_remote(arguments.out)
    root: Path = arguments.work or default_work_folder(arguments.out) if remote else open_store(arguments.out).root
    with Upload(arguments.out, root) if remote else nullcontext() as upload:
        if upload and not arguments.dry_run:
            upload.begin()
        sources = read_sources(
            arguments.source, root, settings, videos=arguments.videos, workers=arguments.workers,
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
        summary = pack(sources, root, settings, workers=arguments.workers, retry=retry, upload=upload)
        remember_sources(root, arguments.source, arguments.videos)
        if arguments.energon and summary.packed:
            write_energon(root)
        if arguments.dali and summary.packed:
            write_dali(root)
        if upload:
            upload.finish()
    skipped = f" + skipped {summary.skipped}" if summary.skipped else ""
    print(f"inputs {summary.inputs} = packed {summary.packed} + failed {summary.failed}{skipped}")
    for code, count in summary.reasons.items():
        print(f"  {code}: {count}")
    print(f"{summary.shards} shards, {summary.size / 1e6:.1f} MB, in {summary.seconds:.1f} s: {arguments.out}")
    if not summary.packed:
        raise CommandError(f"nothing could be packed; {root / '.avcorr' / 'ledger.jsonl'} says why for each input")
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
    from pipeline.packing.prepare import read_sources
    from pipeline.packing.repair import recall_sources, repair_settings
    from pipeline.packing.repair import repair as mend

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
    from shards.summary import describe, summarise

    facts = summarise(arguments.root)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if arguments.json else describe(facts))
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Draw a contact sheet of a clip, a shard or a dataset: frames over their sound."""
    from shards.lookup import choose_clips, find_clips, iter_places, read_clips_at
    from shards.store import open_store

    store = open_store(arguments.root)
    if arguments.key:
        places = find_clips(store, arguments.key, shards=arguments.shard)
    else:
        every = iter_places(store, splits=arguments.split, shards=arguments.shard)
        places = choose_clips(every, arguments.clips, arguments.label)
    clips = read_clips_at(store, places)
    _draw(clips, arguments.out, f"{len(clips)} clips of {store.url}")
    return 0


def _draw(clips: Any, out: Path, title: str, **about: Any) -> None:
    """Write clips as a page or a picture, as the name of the file says."""
    from pipeline.sheets.page import write_page
    from pipeline.sheets.sheet import clip_sheet, rows_sheet, write_picture

    if out.suffix.lower() in (".html", ".htm"):
        write_page(clips, out, clips[0].key if len(clips) == 1 else title, **about)
    elif out.suffix.lower() != ".png":
        raise CommandError(f"{out}: what is drawn is .png or .html")
    elif len(clips) == 1 and not about:
        write_picture(clip_sheet(clips[0]), out)
    else:
        write_picture(rows_sheet(clips, title, **about), out)
    print(out)


def check_sampler(arguments: argparse.Namespace) -> int:
    """Try to tell matching pairs from others by the sound or the frame alone; exit with 1 if that works."""
    from configs.load import load_config
    from pipeline.pairs.loader import PairLoader
    from pipeline.pairs.sampler import PairDataset
    from pipeline.pairs.shortcuts import describe, find_shortcuts

    config = load_config(arguments.config, arguments.set)
    settings = config.pairs.model_copy(update={"aligned": False})
    dataset = PairDataset(_store(arguments), settings, batch_size=config.train.batch_size, seed=config.train.seed)
    count = -(-arguments.pairs // config.train.batch_size)
    found = find_shortcuts(islice(PairLoader(dataset), count))
    print(json.dumps(asdict(found)) if arguments.json else describe(found))
    return int(found.leaks)


def train(arguments: argparse.Namespace) -> int:
    """Train the correspondence model on a stream of pairs."""
    from configs.load import dump_config, load_config
    from configs.schema import Config
    from model.checkpoint import latest_checkpoint, list_checkpoints, require_same_config
    from model.correspondence import build_model
    from model.device import resolve_device
    from model.distributed import joined, named
    from model.trainer import fit
    from pipeline.pairs.loader import PairLoader
    from pipeline.pairs.sampler import PairDataset
    from shards.index import Index, write_atomically

    run: Path = arguments.run
    processes = named()
    if not processes.is_first:
        logging.getLogger().setLevel(logging.ERROR)  # the first process speaks for all
        logging.getLogger("model").setLevel(logging.ERROR)
        logger.setLevel(logging.ERROR)
    resumes = arguments.resume and bool(list_checkpoints(run))
    if list_checkpoints(run) and not resumes:
        raise CommandError(f"{run} holds checkpoints of an earlier training; go on with --resume or give another --run")
    saved = run / "config.yaml"
    path = saved if arguments.resume and arguments.config is None and saved.exists() else arguments.config
    config = load_config(path, arguments.set)
    start = latest_checkpoint(run) if resumes else None
    if start:
        # What an older checkpoint does not name was the default.
        start = start._replace(config=Config.model_validate(start.config).model_dump())
        free = _FREE_ON_RESUME + (("train.steps",) if config.train.schedule != "cosine" else ())
        require_same_config(start, config.model_dump(), free=free)
        logger.info("going on at step %d of %d", start.step, config.train.steps)
    store = _store(arguments)
    dataset = PairDataset(
        store, config.pairs, batch_size=config.train.batch_size, seed=config.train.seed,
        rank=processes.rank, ranks=processes.ranks, start=start.step if start else 0,
    )  # fmt: skip
    _check_rate(dataset.catalogue.sample_rate, config)
    loader = PairLoader(dataset)
    sequence = run / "pairs.json"
    if start and sequence.exists():
        loader.load_state_dict(json.loads(sequence.read_bytes()) | {"step": start.step})
    if processes.is_first:
        write_atomically(sequence, json.dumps(loader.state_dict()).encode())
        videos = sorted(Index(store).videos(config.pairs.split))
        write_atomically(run / "videos.json", json.dumps(videos).encode())
        write_atomically(saved, dump_config(config).encode())
    device = resolve_device(config.train.device, processes.local_rank)
    with joined(processes, device) as processes:
        summary = fit(
            build_model(config.model, config.train.seed), loader, config.train, run,
            config=config.model_dump(), start=start, device=device, processes=processes,
        )  # fmt: skip
    if processes.is_first:
        done = "" if summary.loss is None else f", loss {summary.loss:.4f}, accuracy {summary.accuracy:.3f}"
        print(f"step {summary.step}{done}: {summary.checkpoint}")
    return 0


_FREE_ON_RESUME = ("shard", "eval", "train.checkpoint_every", "train.log_every",
                   "train.keep_checkpoints", "train.plateau_steps", "train.device", "train.compile")  # fmt: skip
"""Settings that may change when a run goes on; the number of steps too, unless the schedule depends on it."""


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure accuracy and retrieval on held-out clips."""
    import numpy as np

    from configs.load import load_config
    from model.checkpoint import load_model
    from model.device import resolve_device
    from model.embed import embed
    from model.evaluate import Plan, write_evaluation
    from model.evaluate import evaluate as measure
    from model.judge import judge_of
    from model.pairing import first_negatives
    from model.relevance import SharedLabels
    from model.sanity import check_all
    from model.table import table
    from pipeline.pairs.gallery import Gallery
    from pipeline.pairs.protocols import Protocol
    from pipeline.pairs.shortcuts import Glimpses
    from shards.index import require_dataset

    run: Path = arguments.run
    config = load_config(_saved_config(run), [*arguments.set, *_protocol_settings(arguments)])
    settings = config.eval
    trained = _trained_videos(run)
    store = _store(arguments)
    dataset = require_dataset(store)
    protocol = Protocol(settings.protocol, settings.gallery, settings.seed)
    gallery = Gallery(
        store, settings.split, views_per_clip=settings.views_per_clip, seed=settings.seed,
        frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
        pooling=protocol.pooling, choose=protocol.choose,
    )  # fmt: skip
    _refuse_trained(gallery, trained, settings.split, arguments.shards)
    _check_rate(gallery.sample_rate, config)
    device = resolve_device(config.train.device)
    model, _, step = load_model(run, device, best=arguments.best)
    judge = judge_of(model, device)
    glimpses = Glimpses(gallery.drawn[:, 0])
    embeddings = embed(model, glimpses.of(gallery.batches(settings.batch_size)), device)
    if gallery.too_short:
        logger.warning("%d clips are too short for a window and were left out", gallery.too_short)
    facts = {
        "step": step,
        "dataset": dataset["settings"]["name"],
        "train_videos": len(trained),
        "left_out_too_short": gallery.too_short,
        "decoders": _decoders(dataset),
        "versions": {name: _version(name) for name in ("torch", "torchvision", "numpy", "scikit-learn")},
    }
    videos = np.array([clip.video for clip in gallery.clips])
    negatives = first_negatives(gallery.drawn, videos, settings.seed)
    sample = next(iter(gallery.batches(32)))
    checks = check_all(model, sample, embeddings, negatives, videos, judge, device, settings.seed)
    perceived = protocol.perceived(gallery.clips)
    evaluation = measure(
        embeddings, gallery.clips, Plan(gallery.drawn, gallery.pooled), judge, settings, facts,
        relevance=SharedLabels(*perceived) if perceived else None, notes=protocol.notes,
        checks=[*checks, _shortcut_check(glimpses, negatives)],
    )  # fmt: skip
    path = write_evaluation(evaluation, run, gallery.media(evaluation.wanted))
    print(table(evaluation.metrics, colour=sys.stdout.isatty()))
    logger.info("written: %s", path)
    return 0


def _protocol_settings(arguments: argparse.Namespace) -> list[str]:
    """Return the overrides that --protocol, --gallery and --ontology stand for."""
    name = arguments.protocol or ("list" if arguments.gallery else None)
    given = {"eval.protocol": name, "eval.gallery": arguments.gallery, "eval.ontology": arguments.ontology}
    return [f"{key}={json.dumps(str(value))}" for key, value in given.items() if value]


def _shortcut_check(glimpses: Any, negatives: Any) -> Any:
    from model.sanity import Check
    from pipeline.errors import PairError

    try:
        found = glimpses.find_shortcuts(negatives.frames, negatives.sounds)
    except PairError as error:
        return Check("shortcuts", None, str(error))
    sides = (f"{tried.side} alone {100 * tried.accuracy:.1f} % (p {tried.p_value:.2g})" for tried in found.attempts)
    return Check("shortcuts", not found.leaks, f"{', '.join(sides)} over {found.pairs} pairs, chance 50 %")


def _refuse_trained(gallery: Any, trained: set[str], split: str, where: str) -> None:
    from pipeline.pairs.catalogue import video_number

    numbers = {clip.video for clip in gallery.clips}
    overlap = sorted(video for video in trained if video_number(video) in numbers)
    if overlap:
        raise CommandError(
            f"{len(overlap)} source videos of the split {split!r} of {where} were trained on "
            f"({overlap[0]} for one); evaluate another split with --set eval.split=NAME, or other clips with --gallery"
        )


def _decoders(dataset: Any) -> dict[str, str]:
    """Return what decoded the videos when they were sharded, and what decodes the frames now."""
    sharded = dataset["settings"].get("decoder", "ffmpeg")
    return {sharded: str(dataset.get(sharded, dataset.get("ffmpeg", "unknown"))), "simplejpeg": _version("simplejpeg")}


def probe(arguments: argparse.Namespace) -> int:
    """Classify frozen embeddings by label: clips of the shards, or ESC-50's sounds."""
    from configs.load import load_config
    from model.checkpoint import load_model
    from model.device import resolve_device
    from model.probe import table
    from shards.index import write_json

    run: Path = arguments.run
    config = load_config(_saved_config(run), arguments.set)
    device = resolve_device(config.train.device)
    model, saved, step = load_model(run, device, best=arguments.best)
    kind = "esc50" if arguments.esc50 else "shards"
    pooling = arguments.pooling or ("mean10" if arguments.esc50 else "center")
    if arguments.esc50:
        result = _probe_esc50(arguments.esc50, pooling, model, saved, step, device, config.eval)
    else:
        result = _probe_shards(arguments, pooling, model, device, config)
    result = {"name": kind, "step": step, "protocol": f"{kind}/{pooling}", "seed": config.eval.seed, **result}
    path = run / "eval" / f"probe-{kind}.json"
    write_json(path, result)
    print(table(result))
    logger.info("written: %s", path)
    return 0


def _probe_shards(arguments: argparse.Namespace, pooling: str, model: Any, device: Any, config: Any) -> dict[str, Any]:
    import numpy as np

    from model.embed import embed
    from model.evaluate import gallery_hash, pool
    from model.probe import Items, held_out, with_both
    from pipeline.pairs.gallery import Gallery
    from shards.index import require_dataset

    store, settings = _store(arguments), config.eval
    judged, learnt = (
        Gallery(
            store, split, views_per_clip=0, seed=settings.seed, frame_size=config.pairs.frame_size,
            window_seconds=config.pairs.window_seconds, pooling=pooling,
            choose=lambda clips: np.flatnonzero([clip.label != "" for clip in clips]),
        )
        for split in (settings.split, config.pairs.split)
    )  # fmt: skip
    _check_rate(judged.sample_rate, config)
    _refuse_trained(judged, _trained_videos(arguments.run), settings.split, arguments.shards)
    shared = {clip.video for clip in judged.clips} & {clip.video for clip in learnt.clips}
    if shared:
        raise CommandError(
            f"{len(shared)} source videos are both in {settings.split!r} and in {config.pairs.split!r} of "
            f"{arguments.shards}; a probe judges clips of videos that it did not learn from"
        )

    def items(gallery: Gallery) -> Items:
        logger.info("%d labelled clips, %d views", len(gallery.clips), len(gallery))
        views = embed(model, gallery.batches(settings.batch_size), device, judged=False)
        clips = pool(views, gallery.pooled)
        labels, videos = ([getattr(clip, name) for clip in gallery.clips] for name in ("label", "video"))
        return Items(with_both({"image": clips.image, "audio": clips.audio}), np.array(labels), np.array(videos))

    return {
        **held_out(items(learnt), items(judged), settings.bootstrap, settings.seed),
        "gallery_sha256": gallery_hash(judged.clips),
        "decoders": _decoders(require_dataset(store)),
    }


def _probe_esc50(
    folder: Path, pooling: str, model: Any, config: Any, step: int, device: Any, settings: Any
) -> dict[str, Any]:
    import torch
    from tqdm import tqdm

    from model.embedder import Embedder
    from model.esc50 import cross_validate, embed_sounds, read_folder

    sounds = read_folder(folder)
    embedder = Embedder(model, config, step, device)
    embedder.precision = torch.float32
    with tqdm(total=len(sounds), unit="sound", disable=None, desc="probe") as bar:
        vectors = embed_sounds(embedder, sounds, 10 if pooling == "mean10" else 1, bar.update)
    versions = {"soundfile": _version("soundfile"), "scipy": _version("scipy")}
    return {**cross_validate(sounds, vectors, settings.bootstrap, settings.seed), "decoders": versions}


def compare(arguments: argparse.Namespace) -> int:
    """Put the evaluations of several runs side by side, below the paper's Table I."""
    from model.compare import compare as side_by_side
    from model.compare import table

    found = side_by_side(arguments.runs)
    print(json.dumps(found, indent=1, ensure_ascii=False) if arguments.json else table(found))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a model for others: safetensors with a card, ONNX, torch.export."""
    import torch

    from configs.load import load_config
    from model.checkpoint import load_model
    from model.export import export_onnx, export_programs
    from model.weights import write_weights
    from pipeline.pairs.gallery import Gallery

    run: Path = arguments.run
    config = load_config(_saved_config(run))
    model, saved, step = load_model(run, torch.device("cpu"), best=arguments.best)
    out: Path = arguments.out or run / "model"
    print(f"{write_weights(out, model, saved, _facts(run, step))}: weights, configuration and card of step {step}")
    if arguments.shards:
        gallery = Gallery(
            _store(arguments), config.eval.split, views_per_clip=1, seed=config.eval.seed,
            frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
        )  # fmt: skip
        _check_rate(gallery.sample_rate, config)
        views = next(iter(gallery.batches(8)))
        frames, audio, what = views.frames, views.audio, f"{len(views.frames)} clips"
    else:
        generator = torch.Generator().manual_seed(0)
        size, samples = config.pairs.frame_size, round(config.pairs.window_seconds * config.shard.sample_rate)
        frames = torch.randint(256, (4, size, size, 3), generator=generator, dtype=torch.uint8)
        audio = torch.randint(-9000, 9000, (4, samples), generator=generator, dtype=torch.int16)
        what = "noise; --shards compares on clips"
    for folder, write in ((arguments.onnx, export_onnx), (arguments.torch, export_programs)):
        for name, difference in (write(model, folder, frames, audio) if folder else {}).items():
            print(f"{folder / name}: differs from the model by {difference:.1g} at most on {what}")
    return 0


def embed(arguments: argparse.Namespace) -> int:
    """Write the embeddings of all clips, and an index to search them by."""
    from tqdm import tqdm

    import model
    from finding.embed import embed_dataset
    from finding.index import build_index

    embedder = model.load(arguments.run, best=arguments.best)
    with tqdm(unit="view", disable=None, desc="embed") as bar:

        def note(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        clips, rows = embed_dataset(
            _store(arguments), embedder, arguments.out, splits=arguments.split, views=arguments.views,
            threads=arguments.workers, progress=note,
        )  # fmt: skip
    kind = build_index(arguments.out, arguments.index)
    print(f"{clips} clips, {rows} views of step {embedder.step}, index {kind}: {arguments.out}")
    return 0


def search(arguments: argparse.Namespace) -> int:
    """Find clips by a picture, a sound, a video or another clip."""
    from finding.answer import SIDES, ask
    from finding.folder import EmbeddingFolder
    from finding.query import clip_query
    from finding.search import Searcher

    searcher = Searcher(EmbeddingFolder(arguments.index))
    if Path(arguments.query).exists():
        query = _file_query(arguments, searcher)
    else:
        query = clip_query(searcher, arguments.query)
    by, to = (SIDES.get(name or "") for name in (arguments.by, arguments.to))
    answer = ask(
        searcher, query, by=by, to=to, top=arguments.top, labels=arguments.label, splits=arguments.split,
        duplicates=arguments.duplicates,
    )  # fmt: skip
    print(json.dumps(answer.to_json(), ensure_ascii=False) if arguments.json else answer.table())
    if arguments.sheet:
        _draw_answer(arguments, searcher, answer)
    return 0


def _draw_answer(arguments: argparse.Namespace, searcher: Any, answer: Any) -> None:
    """Draw the clips that were found, with the moments that are nearest to the query."""
    from shards.lookup import find_clips, read_clips_at
    from shards.store import open_store

    if not answer.hits:
        raise CommandError("nothing was found, so there is nothing to draw")
    store = open_store(arguments.shards or searcher.embeddings.shards)
    shards = {searcher.embeddings.part_of(hit.clip) for hit in answer.hits}
    clips = read_clips_at(store, find_clips(store, [hit.key for hit in answer.hits], shards=shards))
    notes = [f"cosine {hit.cosine:.3f} at {hit.time:.2f} s" for hit in answer.hits]
    title = f"{answer.to}s nearest to the {answer.by} of {answer.query.name}".replace("audios", "sounds")
    _draw(clips, arguments.sheet, title, marks=[hit.time for hit in answer.hits], notes=notes)


def _file_query(arguments: argparse.Namespace, searcher: Any) -> Any:
    """Return the query of a file, which needs the model that made the index."""
    import model
    from finding.embed import digest_of
    from finding.query import file_query

    if arguments.run is None:
        raise CommandError(f"{arguments.query} is a file: give the model that made the index, too, with --run RUN")
    embedder = model.load(arguments.run, best=arguments.best)
    if digest_of(embedder.model) != searcher.embeddings.identity["model"]:
        raise CommandError(
            f"{arguments.index} was made by another model than {arguments.run} (step {embedder.step}) is now; "
            "embed again into another folder, or give the run, and --best, that it was made with"
        )
    return file_query(Path(arguments.query), embedder)


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


def _store(arguments: argparse.Namespace) -> Any:
    from shards.store import Cache, open_store

    cache = Cache(arguments.cache, arguments.cache_gb * 10**9) if arguments.cache else None
    return open_store(arguments.shards, cache=cache)


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


def _check_rate(stored: int, config: Any) -> None:
    expected = config.model.spectrogram.sample_rate
    if stored != expected:
        raise CommandError(
            f"the sound of the shards has {stored} Hz and model.spectrogram.sample_rate is {expected}; set both "
            f"shard.sample_rate and model.spectrogram.sample_rate to {stored}, or make shards with {expected}"
        )


def _trained_videos(run: Path) -> set[str]:
    path = run / "videos.json"
    try:
        return set(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read, so clips that were trained on cannot be told: {error}") from error


def _facts(run: Path, step: int) -> dict[str, Any]:
    """Return what a model card tells of a run; what was evaluated at another step is left out."""
    facts: dict[str, Any] = {"step": step, "versions": {name: _version(name) for name in ("torch", "torchvision")}}
    measured = run / "eval" / "metrics.json"
    if measured.is_file():
        evaluation = json.loads(measured.read_bytes())
        if evaluation["step"] == step:
            facts |= {"evaluation": evaluation, "dataset": evaluation["run"].get("dataset", "unknown")}
    if (run / "videos.json").is_file():
        facts["train_videos"] = len(_trained_videos(run))
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


COMMANDS = {
    "corpus": corpus, "shard": shard, "verify": verify, "repair": repair, "info": info, "inspect": inspect,
    "check-sampler": check_sampler, "train": train,
    "eval": evaluate, "probe": probe, "compare": compare, "export": export, "embed": embed, "search": search,
    "report": report, "demo": demo,
}  # fmt: skip


def _known_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are told in one line; imported only once something went wrong."""
    from configs.load import ConfigError
    from finding.errors import FindingError
    from model.errors import ModelError
    from pipeline.errors import PipelineError
    from shards.errors import ShardError

    return CommandError, ConfigError, PipelineError, ShardError, ModelError, FindingError, OSError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = build_parser(COMMANDS).parse_args(argv)
    level = logging.DEBUG if arguments.debug else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("run", "pipeline", "model", "shards", "configs", "finding"):
        logging.getLogger(name).setLevel(level)
    try:
        code: int = arguments.function(arguments)
        return code
    except KeyboardInterrupt as interrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 143 if type(interrupt).__name__ == "Terminated" else 130  # by SIGTERM, which only training outlives
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
