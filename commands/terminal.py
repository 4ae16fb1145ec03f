"""What reaches a terminal: texts from files act on nothing there, and failed checks stand in red."""

import logging
from typing import Any, TextIO

from avcorr.printable import printable, printable_lines

RED, PLAIN = "\x1b[31m", "\x1b[0m"
FAILED = "FAILED: "
"""How a line begins that is written in red."""


class EscapedStream:
    """A stream of text in which all that is written is made printable."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, line by line."""
        shown = printable_lines(text)
        if FAILED in shown and self._stream.isatty():
            lines = shown.split("\n")
            shown = "\n".join(f"{RED}{line}{PLAIN}" if line.startswith(FAILED) else line for line in lines)
        return self._stream.write(shown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class OneLineFormatter(logging.Formatter):
    """A message of the log as one printable line; a traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line."""
        return printable(super().formatMessage(record))
