"""Ending a training between two steps: Ctrl-C and the signals that end a program wait until a state is whole."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from avcorr import signals
from avcorr.signals import Terminated

ENDING = (signal.SIGINT, *signals.ENDING)
OF_WORKERS = (signal.SIGCHLD,) if hasattr(signal, "SIGCHLD") else ()  # torch's DataLoader raises when a worker dies
REPEAT_SECONDS = 3.0  # torchrun passes on a Ctrl-C that its processes have received already, so a second comes soon

Handler = Callable[[int, Any], Any]


class DeferredSignals:
    """Signals that arrived in a block and wait for its end."""

    def __init__(self) -> None:
        self._handlers = _handlers()
        self._first = math.inf
        self.signals: list[int] = []
        self._take_over()

    def hold(self, number: int, frame: Any) -> None:
        """Remember a signal. A second Ctrl-C, pressed because the first seemed to do nothing, takes effect at once."""
        now = time.monotonic()
        if number == signal.SIGINT and now > self._first + REPEAT_SECONDS:
            self._handlers[number](number, frame)
        self._first = min(self._first, now) if number in ENDING else self._first
        self.signals.append(number)

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Let signals take effect inside the block, those that wait already at its beginning."""
        self.give_back()
        self.release()
        try:
            yield
        finally:
            self._handlers = _handlers()  # a loader that began in the block watches over its workers from now on
            self._take_over()

    def give_back(self) -> None:
        """Let signals take effect again from now on."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def release(self) -> None:
        """Let the signals that wait take effect, those that end the program first."""
        while self.signals:
            number = self.signals.pop(self.signals.index(self._next()))
            self._handlers[number](number, None)

    def dismiss_workers(self) -> None:
        """Watch no more over worker processes, which may have died of the signal that ended the training."""
        for number in OF_WORKERS:
            self._handlers.pop(number, None)
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, signal.SIG_DFL)

    def error(self) -> KeyboardInterrupt:
        """Return what they would have raised, or Ctrl-C's where another process received one."""
        return Terminated() if self.signals and self._next() in signals.ENDING else KeyboardInterrupt()

    def __bool__(self) -> bool:
        """Tell whether one waits that ends the program."""
        return any(number in ENDING for number in self.signals)

    def _next(self) -> int:
        return next((number for number in self.signals if number in ENDING), self.signals[0])

    def _take_over(self) -> None:
        for number in self._handlers:
            signal.signal(number, self.hold)


def _handlers() -> dict[int, Handler]:
    """Return who handles the signals that are deferred, where Python does. Only the main thread receives any."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in (*ENDING, *OF_WORKERS)}
    return {number: handler for number, handler in found.items() if callable(handler)}


@contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Let the block end before a signal takes effect, so that no state is left half changed and no lock taken."""
    deferred = DeferredSignals()
    try:
        yield deferred
    finally:
        deferred.give_back()
    deferred.signals = [number for number in deferred.signals if number in ENDING]  # whoever needs workers notices
    deferred.release()
