"""Whether the server of a store answers; where it did and no longer does, how long that lasts, told once a minute."""

import logging
import threading
import time
from dataclasses import dataclass, field

from ..store import RetryPolicy

logger = logging.getLogger(__name__)

ENDING = threading.Event()
"""Set when the interpreter ends, which waits for its threads: none of them may wait for a server any longer."""
threading._register_atexit(ENDING.set)  # type: ignore[attr-defined]  # atexit itself comes after the threads


@dataclass(slots=True)
class Outage:
    """What one process knows of the server behind a store; its threads share it.

    Args:
        answered: whether it has ever answered. One that has not is rather a wrong address than an outage.
    """

    answered: bool = False
    _since: float = 0.0
    """By the monotonic clock; 0 while it answers."""
    _told: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, url: str) -> None:
        """Note that the server has answered."""
        self.answered = True
        if self._since:
            with self._lock:
                since, told, self._since = self._since, self._told, 0.0
            if since and told > since:
                logger.warning("%s answers again, after %.0f s", url, time.monotonic() - since)

    def tell(self, url: str, reason: str, policy: RetryPolicy) -> None:
        """Log that the server is waited for: after half a minute, then once a minute, whichever thread waits."""
        with self._lock:
            now = time.monotonic()
            if not self._since:
                self._since, self._told = now, now - policy.tell_seconds / 2
            if now - self._told < policy.tell_seconds:
                return
            self._told, waited = now, now - self._since
        text = "%s has not answered for %.0f s (%s); it is waited for, up to %.0f s"
        logger.warning(text, url, waited, reason, policy.outage_seconds)
