"""The command line: parse, call one command, turn errors into exit codes.

Results go to stdout, the log and progress to stderr. Exit codes: 0 done, 1 a known error in one line, 2 usage, 130
interrupted, 143 by SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 or SIGUSR2. Nothing heavy is imported before a command needs it.
"""

import errno
import logging
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from typing import TextIO, cast

from avcorr.errors import Error
from avcorr.printable import printable_lines
from avcorr.signals import Terminated, terminable

from .parser import call, parse
from .terminal import EscapedStream, OneLineFormatter


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = parse(argv)
    _show_log(logging.DEBUG if arguments.debug else logging.INFO)
    threading.excepthook = _told_elsewhere
    stdout, sys.stdout = sys.stdout, cast(TextIO, EscapedStream(sys.stdout))
    try:
        with terminable():
            return call(arguments)
    except KeyboardInterrupt as interrupt:
        words = ["avcorr", *(sys.argv[1:] if argv is None else argv)]
        if arguments.command == "train" and not arguments.resume:
            words.append("--resume")
        if os.environ.get("WORLD_SIZE", "1") != "1":
            words = ["torchrun", "...", "--module", "--", *words]
        if os.environ.get("RANK", "0") == "0":  # the first process speaks for all
            print(f"interrupted; to go on: {shlex.join(words)}", file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    except BrokenPipeError:
        stdout = None  # the reader has gone; there is nobody to tell
        return 0
    except Exception as error:
        if arguments.debug or not isinstance(error, Error | OSError):
            raise
        print(printable_lines(f"error: {error}"), file=sys.stderr)
        return 1
    finally:
        sys.stdout = stdout


def _told_elsewhere(arguments: threading.ExceptHookArgs) -> None:
    """Pass over a full disk in a library's thread, such as TensorBoard's: who writes next is told."""
    if not isinstance(arguments.exc_value, OSError) or arguments.exc_value.errno not in (errno.ENOSPC, errno.EDQUOT):
        threading.__excepthook__(arguments)


def _show_log(level: int) -> None:
    """Show what we log from this level on, and of others only warnings."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    logging.getLogger().handlers[0].setFormatter(OneLineFormatter("%(message)s"))
    logging.getLogger("avcorr").setLevel(level)
