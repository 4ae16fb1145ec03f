"""Tell which frames will be stored from the times of their packets, before they are decoded.

A frame behind another of its interval is not stored, so where no other frame refers to it, it need not be decoded. Only
H.264 says in each packet whether others refer to it, and what it says is exact (`nal_ref_idc`, ITU-T H.264, 7.4.1).
"""

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

MICROSECOND = Fraction(1, 1_000_000)


class Clock:
    """Where a stream's ticks lie on the container's clock, and in which interval of the span.

    Args:
        base: seconds of a tick.
        shift: what makes the ticks count from the container's start.
        rate: intervals a second.
        seek: start of the span in seconds.
        duration: its length in seconds.
    """

    def __init__(self, base: Fraction, shift: int, rate: float, seek: float, duration: float) -> None:
        self._up, self._down, self._rate = 1_000_000 * base.numerator, base.denominator, rate
        self.shift, self.seek, self.end = shift, seek, seek + duration

    def seconds(self, ticks: int) -> float:
        """Return ticks of the stream as seconds from the container's start, to a microsecond."""
        return divide((ticks + self.shift) * self._up, self._down) / 1e6

    def interval(self, seconds: float) -> int:
        """Return the number of the interval in which a time of the span lies."""
        return floor((seconds - self.seek + 1e-6) * self._rate)


class Choice:
    """Takes a stream's packets in the order of decoding; what it tells is sure only if `holds` says so afterwards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: dict[int, float] = {}
        self._known = True
        self.any = False
        """Whether there was a packet whose frame is not needed."""
        self.spared: list[float] = []
        """Times of such frames inside the span. Those that others refer to are decoded all the same."""

    def needs(self, packet: "av.Packet[Any]") -> bool:
        """Return whether a packet's frame may have to be stored."""
        if packet.pts is None:
            self._known &= not packet.size  # the empty packet at the end has no frame
            return True
        if packet.is_discard:  # outside an edit list: the decoder drops its frame
            return True
        clock = self._clock
        seconds = clock.seconds(packet.pts)
        if not clock.seek <= seconds < clock.end:
            self.any = True
            return False
        number = clock.interval(seconds)
        if seconds > self._first.get(number, seconds):
            self.any = True
            self.spared.append(seconds)
            return False
        self._first[number] = seconds
        return True

    def holds(self, times: list[float]) -> bool:
        """Return whether these chosen frames are those that would have been chosen if all had been decoded."""
        return self._known and sorted(self._first.values()) == times


def divide(numerator: int, denominator: int) -> int:
    """Divide to the nearest integer, halves away from 0, as av_rescale does."""
    value = (2 * abs(numerator) + denominator) // (2 * denominator)
    return value if numerator >= 0 else -value


def rescale(ticks: int, old: Fraction, new: Fraction) -> int:
    """Return ticks in another time base."""
    return divide(ticks * old.numerator * new.denominator, old.denominator * new.numerator)
