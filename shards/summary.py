"""Say what a dataset holds, from its index alone."""

import itertools
from collections import Counter
from typing import Any

from avcorr.printable import printable

from .dataset import Dataset
from .format.clip import FLAGS
from .store import Root

_KINDS = ("hdr", "interlaced")
"""What sources may be, without anything being wrong with their clips."""


def summarise(root: Root) -> dict[str, Any]:
    """Return counts of a dataset as plain JSON types.

    Raises:
        ShardError: when `root` is no dataset, or cannot be read.

    Example:
        >>> avcorr.info("data/shards")["clips"]
        12
    """
    dataset = Dataset(root, unfinished=True)
    flags, labels, videos = Counter[str](), Counter[str](), dict[str, set[str]]()
    kinds = Counter[str]()
    tables = dataset.tables(dataset.shards, "flags", "label", "video", *_KINDS)
    for shard, table in zip(dataset.shards, tables, strict=True):
        kinds.update({name: int(table[name].sum()) for name in _KINDS})
        flags.update(flag for flags_of in table.texts("flags") for flag in flags_of)
        labels.update(table.texts("label"))
        videos.setdefault(shard.split, set()).update(table.texts("video"))
    ledger = Counter(row["status"] for record in dataset.records for row in record.ledger)
    reasons = Counter(row["code"] for record in dataset.records for row in record.ledger if row["code"])
    splits = {split: _count_split(dataset, split, len(videos[split])) for split in dataset.splits}
    inputs = ledger.total() if dataset.facts.inputs is None else dataset.facts.inputs
    pairs = itertools.combinations(splits, 2)
    shared = sum(len(videos[first] & videos[second]) for first, second in pairs)
    return {
        "root": dataset.store.url,
        "format": dataset.facts.format,
        "ffmpeg": dataset.facts.ffmpeg,
        "settings": dataset.facts.settings,
        "inputs": inputs,
        "packed": ledger["packed"],
        "failed": ledger["failed"],
        "failures": dict(reasons.most_common()),
        "pending": inputs - ledger["packed"] - ledger["failed"],
        "shards": len(dataset.shards),
        "bytes": sum(shard.size for shard in dataset.shards),
        "clips": sum(shard.clips for shard in dataset.shards),
        "hours": sum(shard.seconds for shard in dataset.shards) / 3600,
        "frames": sum(shard.frames for shard in dataset.shards),
        "sources": {name: kinds[name] for name in _KINDS if kinds[name]},
        "flags": {flag: flags[flag] for flag in FLAGS if flags[flag]},
        "labels": dict(labels.most_common()),
        "splits": splits,
        "videos_in_two_splits": shared,
    }


def _count_split(dataset: Dataset, split: str, videos: int) -> dict[str, Any]:
    shards = dataset.of_split(split)
    return {
        "shards": len(shards),
        "clips": sum(shard.clips for shard in shards),
        "videos": videos,
        "bytes": sum(shard.size for shard in shards),
    }


def describe(facts: dict[str, Any]) -> str:
    """Lay the facts out for people."""
    lines = [
        f"{facts['root']}: {facts['clips']} clips, {facts['hours']:.2f} hours, {facts['frames']} frames, "
        f"{facts['bytes'] / 1e6:.1f} MB in {facts['shards']} shards",
        f"made with ffmpeg {facts['ffmpeg']}, format {facts['format']}, from {facts['inputs']} inputs: "
        f"{facts['packed']} packed, {facts['failed']} failed, {facts['pending']} not tried yet",
    ]
    lines += [f"  failed: {code}: {count}" for code, count in facts["failures"].items()]
    lines += [
        f"split {name}: {counts['clips']} clips of {counts['videos']} videos in {counts['shards']} shards, "
        f"{counts['bytes'] / 1e6:.1f} MB"
        for name, counts in facts["splits"].items()
    ]
    if facts["videos_in_two_splits"]:
        lines.append(f"{facts['videos_in_two_splits']} source videos lie in two splits, as the source list has it")
    if facts["flags"]:
        lines.append(f"flagged: {', '.join(f'{flag} {count}' for flag, count in facts['flags'].items())}")
    if facts["sources"]:
        lines.append(f"sources: {', '.join(f'{kind} {count}' for kind, count in facts['sources'].items())}")
    labels = facts["labels"]
    named = [f"{printable(label, 100) or 'unlabelled'} {count}" for label, count in list(labels.items())[:20]]
    more = f", and {len(labels) - 20} more" if len(labels) > 20 else ""
    lines.append(f"{len(labels)} labels: {', '.join(named)}{more}")
    return "\n".join(lines)
