"""What a dataset's pairs are worth before a training: how fast they come, and whether they betray themselves."""

from collections.abc import Callable
from itertools import islice

from avcorr.configs.load import Overrides, Recipe, load_config
from avcorr.model.device import resolve_device
from avcorr.pipeline.correspondence.leakage import Leakage, find_leakage
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.speed import Speed, measure_speed
from avcorr.shards.store import Root


def bench_data(
    root: Root,
    *,
    config: Recipe = None,
    settings: Overrides = (),
    seconds: float = 10,
    pairs: int | None = None,
    rate: float | None = None,
    on_pairs: Callable[[int], object] = lambda count: None,
) -> Speed:
    """Measure how fast pairs come from where a dataset lies, and where the time goes.

    Args:
        seconds: for how long.
        pairs: how many instead.
        rate: take so many pairs a second, as a model would; None: all that come.
        on_pairs: called with the number of pairs of each batch.

    Raises:
        Error: for settings or a dataset that cannot be used.

    Example:
        >>> small = {"pairs.frame_size": 32, "pairs.workers": 0, "train.batch_size": 4}
        >>> avcorr.bench_data("data/shards", settings=small, pairs=8).pairs
        8
    """
    chosen = load_config(config, settings)
    dataset = PairDataset(root, chosen.pairs, batch_size=chosen.train.batch_size, seed=chosen.train.seed)
    device = resolve_device(chosen.train.device) if chosen.pairs.decode == "device" else None
    return measure_speed(dataset, seconds=seconds, pairs=pairs, rate=rate, device=device, progress=on_pairs)


def check_leakage(root: Root, *, config: Recipe = None, settings: Overrides = (), pairs: int = 10_000) -> Leakage:
    """Try to tell matching pairs from others by the sound or the frame alone.

    Half of the pairs are learnt from, half are judged; the result's `leaks` says whether that is better than chance.
    Raises Error for settings or a dataset that cannot be used, or fewer than 100 pairs.

    Example:
        >>> found = avcorr.check_leakage("data/shards", settings={"pairs.frame_size": 32}, pairs=1000)
        >>> [attempt.side for attempt in found.attempts]
        ['sound', 'picture']
    """
    chosen = load_config(config, settings)
    size = chosen.train.batch_size
    drawn = chosen.pairs.model_copy(update={"aligned": False})
    dataset = PairDataset(root, drawn, batch_size=size, seed=chosen.train.seed)
    return find_leakage(islice(MomentLoader(dataset), -(-pairs // size)))
