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

and, as on the command line, `info`, `inspect`, `repair`, `index`, `check_leakage`, `bench_data`, `probe`, `compare`,
`export`, `report`, `explore` and `settings`.

What the arguments mean that many of them have: `root` and `shards` are a folder, an address or a store, such as that of
`avcorr.open(address, cache=FOLDER)`; `run` is the folder of a run; `config` is a YAML file, the name of a recipe or a
configuration, None the defaults; `settings` win over it or over the run's own, {"train.steps": 100} or
["train.steps=100"]; `best` takes the best checkpoint in place of the newest; `workers` is how many work at once.

All that goes wrong for a reason outside the program is an `Error`, whose text says what, where and the way out. Each
name is imported when it is first used: `import avcorr` loads neither numpy nor torch. Nothing is printed; at the level
INFO the logger `avcorr` has what goes on, and bars show on a terminal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import Error

if TYPE_CHECKING:
    from .configs.reference import setting_rows as settings
    from .model.evaluation.compare import compare
    from .pages.report.report import write_report as report
    from .shards.summary import summarise as info
    from .workflows.classifying import probe, probe_esc50
    from .workflows.drawing import inspect
    from .workflows.embedding import embed
    from .workflows.evaluating import evaluate
    from .workflows.exploring import explore
    from .workflows.exporting import export
    from .workflows.fitting import train
    from .workflows.indexing import index
    from .workflows.loading import load
    from .workflows.measuring import bench_data, check_leakage
    from .workflows.opening import open_dataset as open
    from .workflows.repairing import repair
    from .workflows.searching import search
    from .workflows.sharding import estimate, shard
    from .workflows.streaming import pairs
    from .workflows.verifying import verify

__version__ = "0.2.0"
_LAZY = {
    "bench_data": ("workflows.measuring", "bench_data"),
    "check_leakage": ("workflows.measuring", "check_leakage"),
    "compare": ("model.evaluation.compare", "compare"),
    "embed": ("workflows.embedding", "embed"),
    "estimate": ("workflows.sharding", "estimate"),
    "evaluate": ("workflows.evaluating", "evaluate"),
    "explore": ("workflows.exploring", "explore"),
    "export": ("workflows.exporting", "export"),
    "index": ("workflows.indexing", "index"),
    "info": ("shards.summary", "summarise"),
    "inspect": ("workflows.drawing", "inspect"),
    "load": ("workflows.loading", "load"),
    "open": ("workflows.opening", "open_dataset"),
    "pairs": ("workflows.streaming", "pairs"),
    "probe": ("workflows.classifying", "probe"),
    "probe_esc50": ("workflows.classifying", "probe_esc50"),
    "repair": ("workflows.repairing", "repair"),
    "report": ("pages.report.report", "write_report"),
    "search": ("workflows.searching", "search"),
    "settings": ("configs.reference", "setting_rows"),
    "shard": ("workflows.sharding", "shard"),
    "train": ("workflows.fitting", "train"),
    "verify": ("workflows.verifying", "verify"),
}
"""Where each name comes from; the names for type checkers above are the same."""

__all__ = [
    "Error", "__version__", "bench_data", "check_leakage", "compare", "embed", "estimate", "evaluate", "explore",
    "export", "index", "info", "inspect", "load", "open", "pairs", "probe", "probe_esc50", "repair", "report",
    "search", "settings", "shard", "train", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(import_module(f".{module}", __name__), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
