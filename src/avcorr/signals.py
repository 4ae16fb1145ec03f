"""Signals that end a program, in the form in which Ctrl-C arrives, and processes that leave them to their parent."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

_NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
ENDING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What schedulers send before they kill (Slurm, Kubernetes, torchrun), a terminal that closes, and Ctrl-\\."""


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C that ends the program."""


def _terminate(*_: Any) -> NoReturn:
    for number in ENDING:  # another one would end what tidies up
        if signal.getsignal(number) is _terminate:
            signal.signal(number, signal.SIG_IGN)
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Let the signals that end a program raise Terminated inside the block, the first of them.

    Only the main thread receives signals, so elsewhere this does nothing; nor does it for those that somebody else
    handles or ignores, as `nohup` does.
    """
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in ENDING if main and signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, _terminate)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def leave_signals_to_parent() -> None:
    """Ignore in a worker process what its parent handles: a signal to the whole group is for the parent alone."""
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)
