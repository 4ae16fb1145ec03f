"""Pairs from shards, in batches."""

from avcorr.configs.load import Overrides, Recipe, load_config
from avcorr.pipeline.correspondence.pairs import PairBatch, PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.shards.store import Root


def pairs(
    root: Root,
    *,
    config: Recipe = None,
    settings: Overrides = (),
    batch_size: int | None = None,
    seed: int | None = None,
    rank: int = 0,
    ranks: int = 1,
    start: int = 0,
) -> MomentLoader[PairBatch]:
    """Stream pairs of a frame and a window of sound: batches without end, from any step on.

    With `pairs.workers` above 0 worker processes decode; where they are spawned, a script needs its
    `if __name__ == "__main__":` line. The loader's `state_dict` and `load_state_dict` go on where a run ended.

    Args:
        batch_size: pairs of all ranks together; None: `train.batch_size`.
        seed: of the order and the draws; None: `train.seed`.
        rank, ranks: which share of each batch this process takes.
        start: step of the first batch.

    Returns:
        A loader. A batch has `frames` uint8 (B, S, S, 3), RGB; `audio` int16 (B, N), mono; `matches` bool (B,), whether
        the sound is the frame's own; `videos` int64 (B,) and `kinds` int8 (B,).

    Raises:
        Error: for settings or a dataset that cannot be used; while it is read, when a shard is damaged.

    Example:
        >>> loader = avcorr.pairs("data/shards", settings={"pairs.frame_size": 32, "pairs.workers": 0}, batch_size=4)
        >>> batch = next(iter(loader))
        >>> batch.frames.shape, batch.matches.shape
        (torch.Size([4, 32, 32, 3]), torch.Size([4]))
    """
    loaded = load_config(config, settings)
    size = loaded.train.batch_size if batch_size is None else batch_size
    chosen = loaded.train.seed if seed is None else seed
    dataset = PairDataset(
        root, loaded.pairs, batch_size=size, seed=chosen, rank=rank, ranks=ranks, start=start
    )  # fmt: skip
    return MomentLoader(dataset)
