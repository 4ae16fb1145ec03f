"""Draw a contact sheet of a clip, a shard or a dataset: frames over their sound."""

import argparse

from avcorr.shards.lookup import choose_clips, find_clips, iter_places, read_clips_at
from avcorr.shards.stores.open import open_store

from .draw import draw


def run(arguments: argparse.Namespace) -> int:
    store = open_store(arguments.root)
    if arguments.key:
        places = find_clips(store, arguments.key, shards=arguments.shard)
    else:
        every = iter_places(store, splits=arguments.split, shards=arguments.shard)
        places = choose_clips(every, arguments.clips, arguments.label)
    clips = read_clips_at(store, places)
    draw(clips, arguments.out, f"{len(clips)} clips of {store.url}")
    return 0
