"""From words to the command that they name; what a command needs is imported when it runs."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from avcorr import __version__

COMMANDS = (
    "corpus", "shard", "verify", "repair", "info", "inspect", "check-leakage", "bench-data", "train", "eval", "probe",
    "compare", "export", "embed", "search", "explore", "report", "settings", "demo",
)  # fmt: skip
"""commands/NAME.py, with _ for -, says in its first line what it does, and has EXAMPLE, `add_options` and `run`, which
takes the options by name."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command, by default of the one that the program was started with."""
    return build_parser().parse_args(words)


def call(arguments: argparse.Namespace) -> int:
    """Run a command and return its exit code; errors are raised."""
    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "debug", "call")}
    code: int = arguments.call(**options) or 0
    return code


class _Once(argparse.Action):
    """Store the value of an option that may be given once: of a repeated one the first would be lost without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        assert isinstance(parser, _Parser)
        if option is not None and self.dest in parser.given:
            parser.error(f"{option} is given twice; it takes one value")
        parser.given.add(self.dest)
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser whose options of one value refuse to be given again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.given: set[str] = set()
        self.register("action", None, _Once)
        self.register("action", "store", _Once)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="avcorr", description="Shard videos with sound, stream pairs from the shards, learn what belongs together."
    )
    parser.add_argument("--version", action="version", version=f"avcorr {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = import_module(f"{__package__}.{name.replace('-', '_')}")
        summary = (command.__doc__ or "").partition("\n")[0]
        example = f"example: avcorr {command.EXAMPLE}"
        added = group.add_parser(name, help=summary, description=summary, epilog=example)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error, and a fuller log")
        command.add_options(added)
        added.set_defaults(call=command.run)
    return parser
