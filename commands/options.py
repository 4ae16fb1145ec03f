"""Options that several commands have, and what turns their words into values."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avcorr.errors import Error
from avcorr.files import local_path
from avcorr.limits import cpu_count

Parser = argparse.ArgumentParser
ROOT_HELP = "where the dataset lies: a folder, s3://, gs://, az:// or https:// (docs/streaming.md)"


def add_model(added: Parser, *, required: bool = True) -> None:
    added.add_argument("--run", type=folder, required=required, metavar="RUN", help="folder of a run or exported model")
    add_best(added)


def add_cache(added: Parser) -> None:
    added.add_argument("--cache", type=folder, metavar="DIR", help="folder to keep what comes from a remote ROOT")
    added.add_argument("--cache-gb", type=positive, default=50, metavar="N", help="its size at most (default 50)")


def opened(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command with, in place of ROOT and a cache, the store that they name."""
    from avcorr.workflows.opening import open_cached

    root = "shards" if "shards" in options else "root"
    cache, size = options.pop("cache"), options.pop("cache_gb")
    return {**options, root: open_cached(options[root], cache, size) if options[root] else None}


def add_config(added: Parser) -> None:
    what = "YAML file or name of a recipe: vggsound is the paper's run, quickstart the demo's"
    added.add_argument("--config", metavar="FILE_OR_NAME", help=what)
    add_overrides(added)


def add_overrides(added: Parser) -> None:
    words = "override one setting; repeatable"
    added.add_argument("--set", dest="settings", action="append", default=[], metavar="a.b=c", help=words)


def add_best(added: Parser) -> None:
    added.add_argument("--best", action="store_true", help="the best checkpoint's model instead of the newest's")


def add_json(added: Parser, what: str = "print one JSON object") -> None:
    added.add_argument("--json", dest="as_json", action="store_true", help=what)


def add_only(added: Parser, *names: str) -> None:
    """Add --NAME for each name, of which only clips are wanted; their values come as a list, NAMEs."""
    for name in names:
        what = f"only this {name}; repeatable"
        added.add_argument(f"--{name}", dest=f"{name}s", action="append", default=[], metavar="X", help=what)


def add_workers(added: Parser, what: str) -> None:
    added.add_argument("--workers", type=positive, default=cpu_count(), metavar="W", help=what)


def setting(name: str) -> Callable[[str], str]:
    """Return what turns an option's value into an override of a setting."""

    def override(text: str) -> str:
        return f"{name}={float(text)}"

    override.__name__ = "number"  # what argparse calls it in an error
    return override


def folder(text: str) -> Path:
    try:
        return local_path(text)
    except Error as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number in a range."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or most is not None and value > most:
            bounds = f"{least} or more" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {bounds}, not {value}")
        return value

    return number


positive, natural, port = whole(1), whole(0), whole(0, 65535)
