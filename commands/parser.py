"""From words to the command that they name; what a command needs is imported when it runs."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from avcorr import __version__

COMMANDS = {
    "corpus": "--out data/corpus --clips 100 --seed 0",
    "shard": "--source videos/ --out data/shards",
    "verify": "data/shards --full",
    "repair": "data/shards --source videos/",
    "index": "data/shards",
    "info": "data/shards --json",
    "inspect": "data/shards --key v3f2Xk_000030 --out clip.html",
    "check-leakage": "data/shards --pairs 20000",
    "bench-data": "s3://bucket/vggsound --set pairs.workers=8",
    "train": "--shards data/shards --run runs/a --config vggsound",
    "eval": "--run runs/a --shards data/shards --protocol full/mean10",
    "probe": "--run runs/a --shards data/shards",
    "compare": "runs/a runs/b",
    "export": "--run runs/a --onnx exported --shards data/shards",
    "embed": "--run runs/a --shards data/shards --out data/embeddings",
    "search": "--run runs/a --index data/embeddings dog.jpg --to audio --top 5",
    "explore": "--run runs/a --shards data/shards",
    "report": "--run runs/a",
    "settings": "train.steps pairs",
    "demo": "--out data/demo",
}
"""What follows each command in an example. commands/NAME.py, with _ for -, says in its first line what it does, and has
`add_options` and `run`, which takes the options by name."""


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


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command, by default of the one that the program was started with."""
    words = sys.argv[1:] if words is None else words
    named = next((word for word in words if not word.startswith("-")), None)
    parser = _Parser(
        prog="avcorr", description="Shard videos with sound, stream pairs from the shards, learn what belongs together."
    )
    parser.add_argument("--version", action="version", version=f"avcorr {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, example in COMMANDS.items():
        command = import_module(f"{__package__}.{name.replace('-', '_')}")
        summary = (command.__doc__ or "").partition("\n")[0]
        epilog = f"example: avcorr {name} {example}"
        added = group.add_parser(name, help=summary, description=summary, epilog=epilog)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error, and a fuller log")
        if name == named:  # the options of the others would be made for nobody
            command.add_options(added)
            added.set_defaults(call=command.run)
    return parser.parse_args(words)
