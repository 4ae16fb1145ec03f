"""Check a dataset, and count what was found."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avcorr.shards.checks.dataset_check import Audit
from avcorr.shards.checks.dataset_check import verify as find_problems
from avcorr.shards.checks.problem import Problem
from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of a dataset has found."""

    root: str
    full: bool
    """Whether every byte was read."""
    problems: tuple[Problem, ...]
    """All that was found, mere information too."""
    shards: int
    clips: int
    bytes: int

    @property
    def failures(self) -> tuple[Problem, ...]:
        """Return the problems that are more than information."""
        return tuple(problem for problem in self.problems if problem.is_failure)

    @property
    def ok(self) -> bool:
        """Whether the dataset is as it should be."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON types."""
        return {
            "root": self.root, "full": self.full, "ok": self.ok, "problems": len(self.failures),
            "codes": dict(Counter(problem.code for problem in self.failures)), "shards": self.shards,
            "clips": self.clips, "bytes": self.bytes,
        }  # fmt: skip


def verify(
    root: Root,
    *,
    full: bool = False,
    workers: int = 1,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    on_shard: Callable[[Audit], None] = lambda audit: None,
) -> Verification:
    """Check shards against their index and their format.

    Args:
        full: read every byte and check every member; else only sizes, ends and the index.
        workers: shards checked at once; with more than one, the full check runs in processes of their own.
        on_problem: called with each problem when it is found.
        on_shard: called with what was found of each shard.

    Returns:
        The problems and the counts; damage is no exception.

    Raises:
        Error: when there is no index to check against, or the dataset cannot be read at all.

    Example:
        >>> found = avcorr.verify("data/shards", full=True)
        >>> found.ok, found.clips, found.problems
        (True, 12, ())
    """
    problems: list[Problem] = []
    total = Counter[str]()

    def note(audit: Audit) -> None:
        if audit.entry:
            total.update(shards=1, clips=audit.entry.clips, bytes=audit.entry.size)
        on_shard(audit)

    for problem in find_problems(root, full=full, workers=workers, progress=note):
        problems.append(problem)
        on_problem(problem)
    return Verification(
        open_store(root).url, full, tuple(problems), total["shards"], total["clips"], total["bytes"]
    )  # fmt: skip
