"""Commands run in the test's own process, and the settings of a model that trains in a second."""

from avcorr.commands.main import main

TINY = [
    "shard.short_side=48", "pairs.frame_size=32", "pairs.aligned=true", "pairs.block_clips=0", "pairs.workers=0",
    "model.width=8", "model.spectrogram.window=640", "model.spectrogram.hop=320", "model.spectrogram.mel_bins=32",
    "train.objective=contrastive", "train.batch_size=8", "train.steps=6", "train.log_every=2",
    "train.checkpoint_every=3", "train.device=cpu", "train.precision=fp32", "eval.views_per_clip=2",
    "eval.bootstrap=20",
]  # fmt: skip


def command(*words: object, settings: list[str] | None = None) -> int:
    """Run `avcorr` with the words and one `--set` a setting; return its exit code."""
    options = [word for setting in settings or [] for word in ("--set", setting)]
    return main([str(word) for word in words] + options)
