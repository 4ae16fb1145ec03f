"""Bytes that come in pieces, as a file."""

from abc import ABC, abstractmethod
from io import BufferedIOBase


class PieceReader(BufferedIOBase, ABC):
    """A file that is read forward, made of pieces of any size; large reads are copied once."""

    def __init__(self) -> None:
        self._piece = memoryview(b"")

    @abstractmethod
    def next_piece(self) -> bytes:
        """Return the next bytes, none at the end."""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, fewer only at the end."""
        missing = 1 << 62 if size is None or size < 0 else size
        parts: list[memoryview] = []
        while missing:
            if not self._piece:
                self._piece = memoryview(self.next_piece())
                if not self._piece:
                    break
            part, self._piece = self._piece[:missing], self._piece[missing:]
            parts.append(part)
            missing -= len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    read1 = read  # what a TextIOWrapper calls

    def close(self) -> None:
        """Let go of what was read."""
        self._piece = memoryview(b"")
        super().close()
