"""A progress bar with clips a second, failures, bytes and the time left; log lines for the first failures."""

import logging
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_TOLD = 10
"""Failures of each reason that are logged one by one; the ledger has all."""


class Progress:
    """Counts inputs; shows a bar where the log is shown and stderr is a terminal.

    Args:
        what: the bar's name.
        total: how many inputs there are.
        done: how many of them earlier runs have done.
    """

    def __init__(self, what: str, total: int, done: int) -> None:
        hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
        self._bar: tqdm[Any] = tqdm(total=total, initial=done, unit="clip", disable=hidden, desc=what)
        self._failures: Counter[str] = Counter()
        self._bytes = 0

    def skip(self, count: int) -> None:
        """Count inputs that an earlier run has done."""
        if not self._bar.disable:
            self._bar.initial += count  # they do not count for the rate
        self._bar.update(count)

    def packed(self, size: int) -> None:
        """Count a clip of so many bytes."""
        self._bytes += size
        self._step()

    def failed(self, row: Mapping[str, Any]) -> None:
        """Count an input that gave no clip; `row` is its row of the ledger."""
        code = row["code"]
        self._failures[code] += 1
        if self._failures[code] <= _TOLD:
            logger.info("%s: %s: %s", row["source"], code, row["message"])
        elif self._failures[code] == _TOLD + 1:
            logger.info("further inputs with %s are only counted; the ledger has them all", code)
        self._step()

    def _step(self) -> None:
        self._bar.set_postfix_str(f"failed {self._failures.total()}, {self._bytes / 1e6:.0f} MB", refresh=False)
        self._bar.update()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._failures and kind is None:
            logger.warning("%d inputs gave no clip; the ledger says why", self._failures.total())
