"""Put ranges that lie close together into one request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..store import ByteRange

GAP = 1 << 19
"""Ranges of one file with fewer bytes between them are fetched as one."""
_LARGEST = 8 << 20
"""Unless the request became larger than this; a single range may be."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and which of the ranges it answers."""

    path: str
    start: int
    stop: int
    numbers: tuple[int, ...]


def merge(ranges: Sequence[ByteRange], gap: int = GAP) -> list[Request]:
    """Return the requests that fetch all ranges, by path and start; empty ranges need none."""
    wanted = (number for number, piece in enumerate(ranges) if piece.stop > piece.start)
    requests: list[Request] = []
    for number in sorted(wanted, key=lambda number: ranges[number]):
        path, start, stop = ranges[number]
        last = requests[-1] if requests else None
        end = max(stop, last.stop) if last else stop
        if last and last.path == path and start - last.stop < gap and end - last.start <= _LARGEST:
            requests[-1] = Request(path, last.start, end, (*last.numbers, number))
        else:
            requests.append(Request(path, start, stop, (number,)))
    return requests


def cut(request: Request, data: memoryview, ranges: Sequence[ByteRange]) -> Iterable[tuple[int, bytes]]:
    """Yield number and bytes of each range that a request answers."""
    for number in request.numbers:
        _, start, stop = ranges[number]
        yield number, bytes(data[start - request.start : stop - request.start])
