"""Check shards against their index and their format."""

import argparse
import json
import sys
from collections import Counter

from tqdm import tqdm

from avcorr.shards.checks.dataset_check import Audit
from avcorr.shards.checks.dataset_check import verify as find_problems

from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    count, total = Counter[str](), Counter[str]()
    with tqdm(unit="B", unit_scale=True, disable=None, desc="verify") as bar:

        def note(audit: Audit) -> None:
            total.update(shards=int(bool(audit.clips)), clips=audit.clips, bytes=audit.size)
            bar.update(audit.size)
            bar.set_postfix(problems=sum(count.values()), refresh=False)

        for problem in find_problems(arguments.root, full=arguments.full, workers=arguments.workers, progress=note):
            count[problem.code] += problem.is_failure
            with bar.external_write_mode(file=sys.stdout):
                text = f"{problem.where}: {problem.code}: {problem.message}"
                print(json.dumps(problem.to_json()) if arguments.json else text)
    problems = sum(count.values())
    if arguments.json:
        print(json.dumps({"summary": {
            "root": str(arguments.root), "full": arguments.full, "ok": not problems, "problems": problems,
            "codes": dict(+count), "shards": total["shards"], "clips": total["clips"], "bytes": total["bytes"],
        }}))  # fmt: skip
    if problems:
        raise CommandError(f"{problems} problems in {arguments.root}; docs/verify.md explains each code, "
                           "and avcorr repair mends what can be mended")  # fmt: skip
    if not arguments.json:
        depth = "every byte" if arguments.full else "sizes, ends and index; --full reads every byte"
        print(f"all well: {total['shards']} shards, {total['clips']} clips ({depth})")
    return 0
