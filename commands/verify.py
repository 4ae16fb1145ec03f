"""Check shards against their index and their format."""

import json
import sys
from typing import Any

import avcorr
from avcorr.printable import printable

from .options import ROOT_HELP, Parser, add_json, add_workers


def add_options(added: Parser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--full", action="store_true", help="read every byte and check every member")
    add_json(added, "print one JSON object a problem, then one with the counts")
    add_workers(added, "shards checked at once (default: one a core)")


def run(root: str, full: bool, as_json: bool, workers: int) -> None:
    from tqdm import tqdm

    problems = 0
    with tqdm(unit="B", unit_scale=True, disable=None, desc="verify") as bar:

        def tell(problem: Any) -> None:
            nonlocal problems
            problems += problem.is_failure
            with bar.external_write_mode(file=sys.stdout):
                text = printable(f"{problem.where}: {problem.code}: {problem.message}")
                print(json.dumps(problem.to_json()) if as_json else text)

        def advance(audit: Any) -> None:
            bar.update(audit.entry.size if audit.entry else 0)
            bar.set_postfix(problems=problems, refresh=False)

        found = avcorr.verify(root, full=full, workers=workers, on_problem=tell, on_shard=advance)
    if as_json:
        print(json.dumps({"summary": found.to_json() | {"root": root}}))
    if not found.ok:
        raise avcorr.Error(f"{problems} problems in {root}; docs/verify.md explains each code, "
                           "and avcorr repair mends what can be mended")  # fmt: skip
    if not as_json:
        depth = "every byte" if full else "sizes, ends and index; --full reads every byte"
        print(f"all well: {found.shards} shards, {found.clips} clips ({depth})")
