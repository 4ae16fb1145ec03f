"""Choose clips to look at."""

from collections.abc import Collection, Sequence

from avcorr.shards.errors import DatasetMismatchError


def choose_clips(labels: Sequence[str], count: int, only: Collection[str] = ()) -> list[int]:
    """Return the numbers of `count` clips that show as many classes as can be, each class spread over the dataset.

    labels: of all clips. only: only clips with one of these labels; empty: all.
    Raises DatasetMismatchError where no clip has one of the labels.
    """
    by_label: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_label.setdefault(label, []).append(number)
    for label in sorted(set(only) - by_label.keys()):
        raise DatasetMismatchError(f"no clip has the label {label!r}; there are {len(by_label)} others")
    kinds = [by_label[label] for label in sorted(only or by_label)]
    if not kinds:
        raise DatasetMismatchError("there are no clips to choose from")
    shares = [count // len(kinds) + (number < count % len(kinds)) for number in range(len(kinds))]
    return [
        clips[position * len(clips) // min(share, len(clips))]
        for clips, share in zip(kinds, shares, strict=True)
        for position in range(min(share, len(clips)))
    ]
