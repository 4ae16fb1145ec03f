"""A stored frame, looked at by its header before anything decodes what it claims (ITU-T T.81, B.2)."""

import struct
from functools import lru_cache

START, END = b"\xff\xd8", b"\xff\xd9"
MOST_PIXELS = 2**26
"""Pixels that a frame has at most."""
MOST_BYTES = 2**28
"""Of a frame; as many as the pixels take before they are compressed, and more."""

_SCAN, _BASELINE, _TABLES = 0xFFDA, 0xFFC0, 0xFFC4
_MOST_HEAD_BYTES = 1 << 18
"""Before the scan."""
_SCAN_BYTES = 14
"""A scan's marker and its header, which names three components."""
_SAMPLING = (b"\x11\x11\x11", b"\x21\x11\x11", b"\x12\x11\x11", b"\x22\x11\x11")
"""Sampling factors of the components, horizontal and vertical: 4:4:4, 4:2:2, 4:4:0, 4:2:0."""
_segment, _frame = struct.Struct(">HH").unpack_from, struct.Struct(">BHHB").unpack_from


def find_fault(jpeg: bytes, width: int, height: int) -> tuple[str, str] | None:
    """Return what is wrong with a frame by its first and last bytes, None where it may be decoded.

    Frames of one clip begin alike, so that one look in thousands costs more than a microsecond or two.

    Args:
        jpeg: the frame's bytes.
        width, height: its size as the metadata have it, pixels.

    Returns:
        A code of `verify` and words that follow "its frame 3".
    """
    if jpeg[:2] != START or jpeg[-2:] != END:
        return "jpeg", "does not begin with SOI and end with EOI"
    found = _size_of(jpeg[: jpeg.find(b"\xff\xda", 0, _MOST_HEAD_BYTES) + _SCAN_BYTES])
    if isinstance(found, str):  # what looks like the scan's marker may be in a table before it
        found = _size_of.__wrapped__(jpeg)
    if isinstance(found, str):
        return "jpeg", found
    if found[0] * found[1] > MOST_PIXELS:
        return "jpeg", f"claims {found[0]} x {found[1]} pixels; a frame has at most {MOST_PIXELS}"
    if found != (width, height):
        return "jpeg_size", f"is {found[0]} x {found[1]}; the metadata say {width} x {height}"
    return None


@lru_cache(64)
def _size_of(head: bytes) -> tuple[int, int] | str:
    """Return width and height of a baseline JPEG of three components in one scan, or what it is instead."""
    position, size = len(START), None
    try:
        while position < _MOST_HEAD_BYTES:
            marker, length = _segment(head, position)
            if marker == _SCAN:
                if size is None:
                    return "has no frame header"
                return size if head[position + 4] == 3 else "has a scan of its own for a component"
            if marker == _BASELINE:
                precision, height, width, components = _frame(head, position + 4)
                if size or precision != 8:
                    return "has a second frame header" if size else f"has samples of {precision} bits"
                if components != 3:
                    return f"has {components} components; a frame has 3"
                if head[position + 11 : position + 18 : 3] not in _SAMPLING:
                    return "has components of another sampling than 4:4:4, 4:2:2, 4:4:0 or 4:2:0"
                size = width, height
            elif marker & 0xFFF0 == _BASELINE and marker != _TABLES:
                return f"is no baseline JPEG (SOF{marker - _BASELINE})"
            elif marker <= _BASELINE or length < 2:
                return "has a damaged header"
            position += 2 + length
    except (struct.error, IndexError):
        pass
    return "has a damaged header"
