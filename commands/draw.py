"""Clips as a page or a picture."""

from pathlib import Path
from typing import Any

from avcorr.pages.sheets.contact_sheet import clip_sheet, rows_sheet, write_picture
from avcorr.pages.sheets.sheet_page import write_page

from .errors import CommandError


def draw(clips: Any, out: Path, title: str, **about: Any) -> None:
    """Write clips as a page or a picture, as the name of the file says."""
    if out.suffix.lower() in (".html", ".htm"):
        write_page(clips, out, clips[0].key if len(clips) == 1 else title, **about)
    elif out.suffix.lower() != ".png":
        raise CommandError(f"{out}: what is drawn is .png or .html")
    elif len(clips) == 1 and not about:
        write_picture(clip_sheet(clips[0]), out)
    else:
        write_picture(rows_sheet(clips, title, **about), out)
    print(out)
