"""The options of every command, without importing what the commands need."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CONFIG_HELP = "YAML file; configs/vggsound.yaml is the paper's run, configs/quickstart.yaml the demo's"
Command = Callable[[argparse.Namespace], int]
Add = Callable[[str, str], argparse.ArgumentParser]


def build_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        commands: what each command calls, by name; the first line of its docstring is its help.
    """
    parser = argparse.ArgumentParser(
        prog="run.py", description="Shard videos with sound, stream pairs from the shards, learn what belongs together."
    )
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, example: str) -> argparse.ArgumentParser:
        summary = (commands[name].__doc__ or "").splitlines()[0]
        added = group.add_parser(name, help=summary, description=summary, epilog=f"example: run.py {example}")
        added.set_defaults(function=commands[name])
        added.add_argument("--debug", action="store_true", help="show the traceback of an error, and a fuller log")
        return added

    _add_making(add)
    _add_checking(add)
    _add_learning(add)
    return parser


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
    added.add_argument("--out", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
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
    added.add_argument("root", type=Path, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--full", action="store_true", help="read every byte and check every member")
    added.add_argument("--json", action="store_true", help="print one JSON object a problem, then one with the counts")
    _workers(added, "shards checked at once (default: one a core)")

    added = add("repair", "repair data/shards --source videos/")
    added.add_argument("root", type=Path, metavar="ROOT", help="folder of the dataset")
    sources = "the sources, where they lie elsewhere now"
    added.add_argument("--source", type=Path, nargs="+", default=[], metavar="DIR_OR_CSV_OR_TAR", help=sources)
    added.add_argument("--videos", type=Path, metavar="DIR", help="as for shard")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="an ffmpeg of the recorded version")
    added.add_argument("--delete-extra", action="store_true", help="delete tars that are not of the dataset")
    _workers(added, "shards checked and videos decoded at once (default: one a core)")

    added = add("info", "info data/shards --json")
    added.add_argument("root", type=Path, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--json", action="store_true", help="print one JSON object")


def _add_learning(add: Add) -> None:
    added = add("train", "train --shards data/shards --run runs/a --config configs/vggsound.yaml")
    added.add_argument("--shards", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder for checkpoints and metrics")
    added.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    _configurable(added)

    added = add("eval", "eval --run runs/a --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--shards", type=Path, required=True, metavar="ROOT", help="folder of the dataset")
    _overridable(added)

    added = add("report", "report --run runs/a")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")

    added = add("demo", "demo --out data/demo")
    added.add_argument("--out", type=Path, default=Path("data/demo"), metavar="DIR", help="default: data/demo")
    added.add_argument("--clips", type=_positive, default=800, metavar="N", help="clips to render (default 800)")
    added.add_argument("--seed", type=_natural, default=0, metavar="S", help="seed of the corpus (default 0)")
    _overridable(added)
    _workers(added, "processes for rendering and sharding (default: one a core)")


def _configurable(added: argparse.ArgumentParser) -> None:
    added.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    _overridable(added)


def _overridable(added: argparse.ArgumentParser) -> None:
    added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable")


def _workers(added: argparse.ArgumentParser, what: str) -> None:
    added.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, metavar="W", help=what)


def _setting(name: str) -> Any:
    """Return what turns an option's value into an override of a setting."""

    def override(text: str) -> str:
        return f"{name}={float(text)}"

    override.__name__ = "number"  # what argparse calls it in an error
    return override


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
