"""Bounded retries with jitter, for one request."""

import logging
import random
import time

from ..errors import StoreAccessError, StoreUnreachableError
from ..store import Patience, Traffic
from .faults import Remedy, diagnose

logger = logging.getLogger(__name__)

_PROGRESS_BYTES = 1 << 20
"""So much between two failures, and the earlier ones no longer count."""
_RENEWALS = 2


class Attempts:
    """Counts the failures of one request and waits between them.

    Args:
        patience: how many, and how long.
        where: address of the object, for messages.
        root: address of the store.
        traffic: where the attempts after the first are counted.
    """

    def __init__(self, patience: Patience, where: str, root: str, traffic: Traffic) -> None:
        self._patience, self._where, self._root, self._traffic = patience, where, root, traffic
        self._failures = self._renewals = self._position = 0

    def failed(self, error: Exception, position: int = 0) -> Remedy:
        """Wait, then return what to do; raise instead when nothing helps or there were failures enough.

        Args:
            error: of the client, or StoreUnreachableError of our own.
            position: bytes received so far.
        """
        remedy, told = Remedy.AGAIN, error
        if not isinstance(error, StoreUnreachableError):
            remedy, told = diagnose(error, self._where, self._root)
            if remedy is Remedy.NONE:
                raise told from error
            self._renewals += isinstance(told, StoreAccessError)
        if position - self._position >= _PROGRESS_BYTES:
            self._failures = self._renewals = 0
        self._position = position
        self._failures += 1
        if self._renewals > _RENEWALS or self._renewals and self._failures >= self._patience.attempts:
            raise told from error
        if self._failures >= self._patience.attempts:
            raise StoreUnreachableError(f"gave up after {self._failures} attempts: {told}") from error
        longest = min(self._patience.longest_wait, self._patience.first_wait * 2 ** (self._failures - 1))
        logger.debug("%s: attempt %d at byte %d: %s", self._where, self._failures, position, told)
        self._traffic.add(Traffic(retries=1))
        time.sleep(random.uniform(0, longest))
        return remedy
