"""Find clips by a picture, a sound, a video or another clip."""

import json
from pathlib import Path
from typing import Any

import avcorr

from .options import Parser, add_json, add_model, add_only, folder, positive


def add_options(added: Parser) -> None:
    added.add_argument("query", metavar="QUERY", help="a picture, a sound, a video, or the key of a clip")
    add_model(added, required=False)
    added.add_argument("--index", type=folder, required=True, metavar="DIR", help="what avcorr embed wrote")
    sides = ("image", "audio")
    added.add_argument("--to", choices=sides, help="what is looked for (default: the other than what is asked by)")
    added.add_argument("--by", choices=sides, help="which side of a video or a clip is asked by")
    add_only(added, "label", "split")
    added.add_argument("--top", type=positive, default=10, metavar="N", help="clips to show (default 10)")
    added.add_argument("--duplicates", action="store_true", help="show a recording as often as it is there")
    add_json(added)
    sheet = "draw what was found as .png or .html; needs the shards"
    added.add_argument("--sheet", type=folder, metavar="FILE", help=sheet)
    moved = "where the shards lie, if no longer where they were embedded from"
    added.add_argument("--shards", metavar="ROOT", help=moved)


def run(as_json: bool, sheet: Path | None, **options: Any) -> None:
    answer = avcorr.search(sheet=sheet, **options)
    print(json.dumps(answer.to_json(), ensure_ascii=False) if as_json else answer.table())
    if sheet:
        print(sheet)
