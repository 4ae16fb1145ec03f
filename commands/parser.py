"""From words to the command that they name; what a command needs is imported when it is called."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from avcorr import __version__

from .options import checking, finding, learning, making

COMMANDS = {
    "corpus": "Render a procedural corpus of videos with sound.",
    "shard": "Decode videos into shards.",
    "verify": "Check shards against their index and their format.",
    "repair": "Make again what verify finds damaged, byte for byte as it was recorded.",
    "info": "Describe a dataset.",
    "inspect": "Draw a contact sheet of a clip, a shard or a dataset: frames over their sound.",
    "check-leakage": "Try to tell matching pairs by the sound or the frame alone; exit with 1 if that works.",
    "bench-data": "Measure how fast pairs come from where a dataset lies, and say what is slow.",
    "train": "Train the correspondence model on a stream of pairs.",
    "eval": "Measure accuracy and retrieval on held-out clips.",
    "probe": "Classify frozen embeddings by label: clips of the shards, or ESC-50's sounds.",
    "compare": "Put the evaluations of several runs side by side, below the paper's Table I.",
    "export": "Write a model for others: safetensors with a card, ONNX, torch.export.",
    "embed": "Write the embeddings of all clips, and an index to search them by.",
    "search": "Find clips by a picture, a sound, a video or another clip.",
    "explore": "Show a run in a browser: search by a file, walk from clip to clip, try any pair.",
    "report": "Write one self-contained page about a run.",
    "settings": "List every setting with its type, default, range and meaning.",
    "demo": "Do all of it on a corpus rendered for the purpose.",
}
"""What each command does, in a line; commands/NAME.py has its `run`, with _ for -."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command, by default of the one that the program was started with."""
    return build_parser().parse_args(words)


def call(arguments: argparse.Namespace) -> int:
    """Run a command and return its exit code; errors are raised."""
    code: int = import_module(f"{__package__}.{arguments.command.replace('-', '_')}").run(arguments)
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

    def add(name: str, example: str) -> argparse.ArgumentParser:
        summary = COMMANDS[name]
        added = group.add_parser(name, help=summary, description=summary, epilog=f"example: avcorr {example}")
        added.add_argument("--debug", action="store_true", help="show the traceback of an error, and a fuller log")
        return added

    for part in (making, checking, learning, finding):
        part.add_options(add)
    return parser
