"""Draw a contact sheet of a clip, a shard or a dataset: frames over their sound."""

import argparse

from avcorr.pages.sheets.clip_choice import choose_clips
from avcorr.shards.dataset import Dataset

from .draw import draw


def run(arguments: argparse.Namespace) -> int:
    dataset = Dataset(arguments.root)
    if arguments.key:
        chosen = dataset.clips(shards=arguments.shard).find(arguments.key)
    else:
        every = dataset.clips(splits=arguments.split, shards=arguments.shard)
        chosen = every.take(choose_clips(every.texts("label"), arguments.clips, arguments.label))
    draw(dataset.read(chosen), arguments.out, f"{len(chosen)} clips of {dataset.store.url}")
    return 0
