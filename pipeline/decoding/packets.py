"""Lay packets of sound on the clip's clock: what is heard at second t of the file is at second t of the clip."""

from collections.abc import Iterable

_GAP_SECONDS = 0.1
"""A packet that lies further from the end of the one before is put where its time says; a nearer one follows on."""


def lay_packets(pcm: bytes, packets: Iterable[tuple[int, int]], sample_rate: int) -> bytes:
    """Return the samples from time 0 on; what no packet covers is silence, what two cover is the later one's.

    Args:
        pcm: mono little-endian int16, packet after packet.
        packets: (time in samples, bytes) of each.
        sample_rate: Hz.
    """
    gap = 2 * _GAP_SECONDS * sample_rate
    laid, position, end = bytearray(), 0, None
    for time, size in packets:
        begin = 2 * time
        if end is not None and abs(begin - end) <= gap:
            begin = end
        end = begin + size
        data = memoryview(pcm)[position + max(0, -begin) : position + size]
        position += size
        begin = max(begin, 0)
        if data:
            laid += bytes(max(0, begin - len(laid)))
            laid[begin : begin + len(data)] = data
    return bytes(laid)
