"""Check shards against their index and their format."""

import argparse
import json
import sys

from tqdm import tqdm

from avcorr.shards.checks.dataset_check import Audit
from avcorr.shards.checks.problem import Problem
from avcorr.workflows.verifying import verify

from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    problems = 0
    with tqdm(unit="B", unit_scale=True, disable=None, desc="verify") as bar:

        def tell(problem: Problem) -> None:
            nonlocal problems
            problems += problem.is_failure
            with bar.external_write_mode(file=sys.stdout):
                text = f"{problem.where}: {problem.code}: {problem.message}"
                print(json.dumps(problem.to_json()) if arguments.json else text)

        def advance(audit: Audit) -> None:
            bar.update(audit.size)
            bar.set_postfix(problems=problems, refresh=False)

        found = verify(
            arguments.root, full=arguments.full, workers=arguments.workers, on_problem=tell, on_shard=advance
        )
    if arguments.json:
        print(json.dumps({"summary": found.to_json() | {"root": str(arguments.root)}}))
    if not found.ok:
        raise CommandError(f"{problems} problems in {arguments.root}; docs/verify.md explains each code, "
                           "and avcorr repair mends what can be mended")  # fmt: skip
    if not arguments.json:
        depth = "every byte" if arguments.full else "sizes, ends and index; --full reads every byte"
        print(f"all well: {found.shards} shards, {found.clips} clips ({depth})")
    return 0
