"""Options that several commands have, and what turns their words into values."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG_HELP = "YAML file or name of a recipe: vggsound is the paper's run, quickstart the demo's"
ROOT_HELP = "where the dataset lies: a folder, s3://, gs://, az:// or https:// (docs/streaming.md)"
Add = Callable[[str, str], argparse.ArgumentParser]


def add_model(added: argparse.ArgumentParser, *, required: bool = True) -> None:
    added.add_argument("--run", type=Path, required=required, metavar="RUN", help="folder of a run or exported model")
    add_best(added)


def add_cache(added: argparse.ArgumentParser) -> None:
    added.add_argument("--cache", type=folder, metavar="DIR", help="folder to keep what comes from a remote ROOT")
    added.add_argument("--cache-gb", type=positive, default=50, metavar="N", help="its size at most (default 50)")


def add_config(added: argparse.ArgumentParser) -> None:
    added.add_argument("--config", metavar="FILE_OR_NAME", help=CONFIG_HELP)
    add_overrides(added)


def add_overrides(added: argparse.ArgumentParser) -> None:
    added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable")


def add_best(added: argparse.ArgumentParser) -> None:
    added.add_argument("--best", action="store_true", help="the best checkpoint's model instead of the newest's")


def add_workers(added: argparse.ArgumentParser, what: str) -> None:
    added.add_argument("--workers", type=positive, default=os.cpu_count() or 1, metavar="W", help=what)


def setting(name: str) -> Any:
    """Return what turns an option's value into an override of a setting."""

    def override(text: str) -> str:
        return f"{name}={float(text)}"

    override.__name__ = "number"  # what argparse calls it in an error
    return override


def folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a folder, not {text}; copy the dataset to a disk first")
    return Path(text)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {value}")
    return value


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {value}")
    return value
