"""The options of every command, without importing what the commands need."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG_HELP = "YAML file; configs/vggsound.yaml is the paper's run, configs/quickstart.yaml the demo's"
ROOT_HELP = "where the dataset lies: a folder, s3://, gs://, az:// or https:// (docs/streaming.md)"
Add = Callable[[str, str], argparse.ArgumentParser]


def add_options(add: Add) -> None:
    """Add every command; `add` takes its name and an example and returns its parser."""
    _add_making(add)
    _add_checking(add)
    _add_learning(add)
    _add_finding(add)


def _add_making(add: Add) -> None:
    added = add("corpus", "corpus --out data/corpus --clips 100 --seed 0")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the videos and corpus.csv")
    added.add_argument("--clips", type=_positive, required=True, metavar="N", help="number of ten-second clips")
    added.add_argument("--seed", type=_natural, default=0, metavar="S", help="decides every clip (default 0)")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="ffmpeg to encode with; default: imageio-ffmpeg's")
    _workers(added, "processes (default: one a core)")

    added = add("shard", "shard --source videos/ --out data/shards")
    sources = (
        "folder of videos or of tars, one or more .tar, .tar.gz or .tgz, VGGSound's CSV, "
        "or a CSV with the header path,label,split,start,duration"
    )
    videos = "folder of <id>_<start>.mp4, loose or in tars, for VGGSound's CSV"
    added.add_argument("--source", type=Path, required=True, nargs="+", metavar="DIR_OR_CSV_OR_TAR", help=sources)
    added.add_argument("--videos", type=Path, metavar="DIR", help=videos)
    added.add_argument("--out", required=True, metavar="ROOT", help="folder of the dataset, or s3://, gs://, az://")
    work = "folder in which shards for a bucket are made (default: one below the user's cache folder)"
    added.add_argument("--work", type=_folder, metavar="DIR", help=work)
    added.add_argument(
        "--clip-seconds", dest="set", action="append", default=[], type=_setting("shard.clip_seconds"), metavar="S",
        help="longest clip; short for --set shard.clip_seconds=S",
    )  # fmt: skip
    added.add_argument(
        "--consecutive", dest="set", action="append_const", default=[], const="shard.consecutive=true",
        help="cut each video into clips that follow each other; short for --set shard.consecutive=true",
    )  # fmt: skip
    added.add_argument("--retry", default="", metavar="CODE[,CODE]", help="try inputs that failed so again")
    added.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    added.add_argument("--strict", action="store_true", help="exit with 1 if any input failed")
    added.add_argument("--energon", action="store_true", help="write .nv-meta and *.tar.idx for Megatron Energon, too")
    added.add_argument("--dali", action="store_true", help="write .avcorr/dali/*.idx for NVIDIA DALI, too")
    _workers(added, "ffmpeg processes at once (default: one a core)")
    _configurable(added)


def _add_checking(add: Add) -> None:
    added = add("verify", "verify data/shards --full")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--full", action="store_true", help="read every byte and check every member")
    added.add_argument("--json", action="store_true", help="print one JSON object a problem, then one with the counts")
    _workers(added, "shards checked at once (default: one a core)")

    added = add("check-sampler", "check-sampler data/shards --pairs 20000")
    added.add_argument("shards", metavar="ROOT", help=ROOT_HELP)
    _cached(added)
    pairs = "pairs to draw, half to learn from and half to judge (default 10000)"
    added.add_argument("--pairs", type=_positive, default=10000, metavar="N", help=pairs)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    _configurable(added)

    added = add("bench-data", "bench-data s3://bucket/vggsound --set pairs.workers=8")
    added.add_argument("shards", metavar="ROOT", help=ROOT_HELP)
    _cached(added)
    amount = added.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=_positive, default=10, metavar="S", help="for how long (default 10)")
    amount.add_argument("--pairs", type=_positive, metavar="N", help="how many pairs instead")
    added.add_argument("--rate", type=_positive, metavar="R", help="take R pairs a second, as a model would")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    _configurable(added)

    added = add("repair", "repair data/shards --source videos/")
    added.add_argument("root", type=_folder, metavar="ROOT", help="folder of the dataset")
    sources = "the sources, where they lie elsewhere now"
    added.add_argument("--source", type=Path, nargs="+", default=[], metavar="DIR_OR_CSV_OR_TAR", help=sources)
    added.add_argument("--videos", type=Path, metavar="DIR", help="as for shard")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="an ffmpeg of the recorded version")
    added.add_argument("--delete-extra", action="store_true", help="delete tars that are not of the dataset")
    _workers(added, "shards checked and videos decoded at once (default: one a core)")

    added = add("info", "info data/shards --json")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--json", action="store_true", help="print one JSON object")

    added = add("inspect", "inspect data/shards --key v3f2Xk_000030 --out clip.html")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--key", action="append", default=[], metavar="K", help="this clip; repeatable")
    added.add_argument("--shard", action="append", default=[], metavar="NAME", help="only this shard: train-000000")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    added.add_argument("--label", action="append", default=[], metavar="L", help="only this label; repeatable")
    some = "clips to show, of as many classes as can be (default 24)"
    added.add_argument("--clips", type=_positive, default=24, metavar="N", help=some)
    what = "picture (.png) or page with sound (.html) to write (default inspect.png)"
    added.add_argument("--out", type=_folder, default=Path("inspect.png"), metavar="FILE", help=what)


def _add_learning(add: Add) -> None:
    added = add("train", "train --shards data/shards --run runs/a --config configs/vggsound.yaml")
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    _cached(added)
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder for checkpoints and metrics")
    added.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    _configurable(added)

    added = add("eval", "eval --run runs/a --shards data/shards --protocol full/mean10")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    _cached(added)
    _best(added)
    protocol = "full, avenet, cavmae-1545, vggsounder or list, with /center or /mean10; short for eval.protocol"
    added.add_argument("--protocol", metavar="NAME", help=protocol)
    gallery = "evaluate the clips of a list, one id a line; short for eval.gallery, and alone for protocol list"
    added.add_argument("--gallery", type=Path, metavar="FILE", help=gallery)
    ontology = "AudioSet's ontology.json, for nDCG with AVE-Net's gain; short for eval.ontology"
    added.add_argument("--ontology", type=Path, metavar="FILE", help=ontology)
    _overridable(added)

    added = add("probe", "probe --run runs/a --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    what = added.add_mutually_exclusive_group(required=True)
    what.add_argument("--shards", metavar="ROOT", help="classify the clips of its splits; " + ROOT_HELP)
    what.add_argument("--esc50", type=Path, metavar="DIR", help="classify ESC-50's sounds, in its five folds")
    pooling = "an item's views: the one in its middle, or the mean of ten (default: center; mean10 with --esc50)"
    added.add_argument("--pooling", choices=["center", "mean10"], help=pooling)
    _cached(added)
    _best(added)
    _overridable(added)

    added = add("compare", "compare runs/a runs/b")
    added.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of evaluated runs")
    added.add_argument("--json", action="store_true", help="print one JSON object")

    added = add("export", "export --run runs/a --onnx exported --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--out", type=Path, metavar="DIR", help="folder for safetensors and card; default: RUN/model")
    added.add_argument("--onnx", type=Path, metavar="DIR", help="folder for image.onnx, audio.onnx and pair.onnx")
    added.add_argument("--torch", type=Path, metavar="DIR", help="folder for the same as torch.export programs")
    added.add_argument("--shards", metavar="ROOT", help="dataset on whose clips the exports are compared")
    _cached(added)
    _best(added)

    added = add("report", "report --run runs/a")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")

    added = add("demo", "demo --out data/demo")
    added.add_argument("--out", type=Path, default=Path("data/demo"), metavar="DIR", help="default: data/demo")
    added.add_argument("--clips", type=_positive, default=800, metavar="N", help="clips to render (default 800)")
    added.add_argument("--seed", type=_natural, default=0, metavar="S", help="seed of the corpus (default 0)")
    _overridable(added)
    _workers(added, "processes for rendering and sharding (default: one a core)")


def _add_finding(add: Add) -> None:
    added = add("embed", "embed --run runs/a --shards data/shards --out data/embeddings")
    _model(added)
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    _cached(added)
    added.add_argument("--out", type=_folder, required=True, metavar="DIR", help="folder for embeddings and index")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    views = "views of each clip: a frame and the sound around it (default 10)"
    added.add_argument("--views", type=_positive, default=10, metavar="N", help=views)
    kinds = "how it is searched; default: exact for up to 250,000 views, else ivf"
    added.add_argument("--index", choices=("exact", "ivf", "hnsw"), help=kinds)
    _workers(added, "threads that read and decode (default: one a core)")

    added = add("search", "search --run runs/a --index data/embeddings dog.jpg --to sounds --top 5")
    added.add_argument("query", metavar="QUERY", help="a picture, a sound, a video, or the key of a clip")
    _model(added, required=False)
    added.add_argument("--index", type=_folder, required=True, metavar="DIR", help="what run.py embed wrote")
    sides = ("images", "sounds")
    added.add_argument("--to", choices=sides, help="what is looked for (default: the other than what is asked by)")
    added.add_argument("--by", choices=sides, help="which side of a video or a clip is asked by")
    added.add_argument("--label", action="append", default=[], metavar="L", help="only this label; repeatable")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    added.add_argument("--top", type=_positive, default=10, metavar="N", help="clips to show (default 10)")
    added.add_argument("--duplicates", action="store_true", help="show a recording as often as it is there")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    sheet = "draw what was found as .png or .html; needs the shards"
    added.add_argument("--sheet", type=_folder, metavar="FILE", help=sheet)
    moved = "where the shards lie, if no longer where they were embedded from"
    added.add_argument("--shards", metavar="ROOT", help=moved)

    added = add("explore", "explore --run runs/a --shards data/shards")
    _model(added)
    index = "what run.py embed wrote; made where it is not there (default: RUN/embeddings)"
    added.add_argument("--index", type=_folder, metavar="DIR", help=index)
    where = "where the shards lie (default: where the embeddings were made from)"
    added.add_argument("--shards", metavar="ROOT", help=where)
    _cached(added)
    host = "address to listen at; another than this machine's own lets others in (default 127.0.0.1)"
    added.add_argument("--host", default="127.0.0.1", metavar="H", help=host)
    added.add_argument("--port", type=_port, default=7860, metavar="P", help="0: any that is free (default 7860)")
    added.add_argument("--open", action="store_true", help="open the page in the browser of this machine")
    upload = "largest file that may be dropped, in MB (default 50)"
    added.add_argument("--upload-mb", type=_positive, default=50, metavar="N", help=upload)
    _workers(added, "threads that read and decode where embeddings are made (default: one a core)")


def _model(added: argparse.ArgumentParser, *, required: bool = True) -> None:
    added.add_argument("--run", type=Path, required=required, metavar="RUN", help="folder of a run or exported model")
    _best(added)


def _cached(added: argparse.ArgumentParser) -> None:
    added.add_argument("--cache", type=_folder, metavar="DIR", help="folder to keep what comes from a remote ROOT")
    added.add_argument("--cache-gb", type=_positive, default=50, metavar="N", help="its size at most (default 50)")


def _configurable(added: argparse.ArgumentParser) -> None:
    added.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    _overridable(added)


def _overridable(added: argparse.ArgumentParser) -> None:
    added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable")


def _best(added: argparse.ArgumentParser) -> None:
    added.add_argument("--best", action="store_true", help="the best checkpoint's model instead of the newest's")


def _workers(added: argparse.ArgumentParser, what: str) -> None:
    added.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, metavar="W", help=what)


def _setting(name: str) -> Any:
    """Return what turns an option's value into an override of a setting."""

    def override(text: str) -> str:
        return f"{name}={float(text)}"

    override.__name__ = "number"  # what argparse calls it in an error
    return override


def _folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a folder, not {text}; copy the dataset to a disk first")
    return Path(text)


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


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {value}")
    return value
