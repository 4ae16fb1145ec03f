"""Clips as a page or a picture."""

from collections.abc import Collection, Sequence
from pathlib import Path

from avcorr.errors import Error
from avcorr.files import local_path, require_writable, writing_to
from avcorr.pages.sheets.clip_choice import choose_clips
from avcorr.pages.sheets.contact_sheet import clip_sheet, rows_sheet, write_picture
from avcorr.pages.sheets.sheet_page import write_page
from avcorr.shards.dataset import Dataset
from avcorr.shards.format.clip import Clip
from avcorr.shards.store import Root


def inspect(
    root: Root,
    out: str | Path = "inspect.png",
    *,
    keys: Sequence[str] = (),
    shards: Collection[str] = (),
    splits: Collection[str] = (),
    labels: Collection[str] = (),
    clips: int = 24,
) -> Path:
    """Draw a contact sheet of a clip, a shard or a dataset: frames over their sound.

    Args:
        out: a picture (.png), or a page with sound (.html); returned.
        keys: these clips; empty: some of as many classes as can be.
        shards, splits, labels: only clips of these; empty: of all.
        clips: how many at most.

    Raises:
        Error: where there is no such clip, shard, split or label, or `out` is neither.

    Example:
        >>> avcorr.inspect("data/shards", "clips.html", clips=2).name
        'clips.html'
    """
    out = local_path(out)
    require_writable(out.parent)
    dataset = Dataset(root)
    if keys:
        chosen = dataset.clips(shards=shards).find(keys)
    else:
        every = dataset.clips(splits=splits, shards=shards)
        chosen = every.take(choose_clips(every.texts("label"), clips, labels))
    return draw(dataset.read(chosen), out, f"{len(chosen)} clips of {dataset.store.url}")


def draw(clips: Sequence[Clip], out: Path, title: str, marks: Sequence[float] = (), notes: Sequence[str] = ()) -> Path:
    """Draw clips, each with a marked moment and a note where these are given, and return the path."""
    with writing_to(out.parent):
        if out.suffix.lower() in (".html", ".htm"):
            write_page(clips, out, clips[0].key if len(clips) == 1 else title, marks, notes)
        elif out.suffix.lower() != ".png":
            raise Error(f"{out}: what is drawn is .png or .html")
        elif len(clips) == 1 and not notes:
            write_picture(clip_sheet(clips[0]), out)
        else:
            write_picture(rows_sheet(clips, title, marks, notes), out)
    return out
