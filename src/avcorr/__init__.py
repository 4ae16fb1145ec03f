"""Learn what sight and sound have in common, from sharded video.

    import avcorr

    avcorr.shard("videos/", "data/shards")              decode videos
    avcorr.verify("data/shards").ok                     check the shards
    avcorr.open("data/shards").splits                   look at them
    avcorr.pairs("data/shards")                         stream pairs of a frame and its sound
    avcorr.train("data/shards", "runs/a")               train on them
    avcorr.evaluate("runs/a", "data/shards")            measure
    avcorr.load("runs/a").embed_images(["frame.jpg"])   use the model
    avcorr.embed("runs/a", "data/shards", "embedded")   embed a dataset
    avcorr.search("embedded", "dog.jpg", run="runs/a")  search it

All that goes wrong for a reason outside the program is an `Error`, whose text says what, where and the way out. Each
name is imported when it is first used: `import avcorr` loads neither numpy nor torch. Nothing is printed; at the level
INFO the logger `avcorr` has what goes on, and bars show on a terminal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import Error

if TYPE_CHECKING:
    from .model import load
    from .workflows.embedding import embed
    from .workflows.evaluating import evaluate
    from .workflows.fitting import train
    from .workflows.opening import open_dataset as open
    from .workflows.searching import search
    from .workflows.sharding import estimate, shard
    from .workflows.streaming import pairs
    from .workflows.verifying import verify

__version__ = "0.2.0"
__all__ = [
    "Error", "__version__", "embed", "estimate", "evaluate", "load", "open", "pairs", "search", "shard", "train",
    "verify",
]  # fmt: skip

_LAZY = {
    "embed": ("workflows.embedding", "embed"),
    "estimate": ("workflows.sharding", "estimate"),
    "evaluate": ("workflows.evaluating", "evaluate"),
    "load": ("model", "load"),
    "open": ("workflows.opening", "open_dataset"),
    "pairs": ("workflows.streaming", "pairs"),
    "search": ("workflows.searching", "search"),
    "shard": ("workflows.sharding", "shard"),
    "train": ("workflows.fitting", "train"),
    "verify": ("workflows.verifying", "verify"),
}
"""Where each name comes from; the names for type checkers above are the same."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(import_module(f".{module}", __name__), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
