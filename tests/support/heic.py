"""HEIC pictures as phones write them: a grid of HEVC tiles, and a thumbnail (ISO/IEC 23008-12).

No tool at hand muxes such a file, so the boxes are put together here, around tiles that the real x265 encoded.
"""

import io
import struct
import subprocess

from PIL import Image


def box(kind: bytes, *parts: bytes, full: int | None = None) -> bytes:
    """Return a box; `full` is version and flags of a full one."""
    body = (b"" if full is None else struct.pack(">I", full)) + b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def encode(ffmpeg: str, picture: Image.Image) -> tuple[bytes, bytes]:
    """Return the box hvcC and the one HEVC sample of a picture."""
    png = io.BytesIO()
    picture.save(png, "PNG")
    command = [
        ffmpeg, "-v", "error", "-f", "png_pipe", "-i", "-", "-vf", "scale=out_range=full:out_color_matrix=bt601",
        "-pix_fmt", "yuv420p", "-color_range", "pc", "-colorspace", "smpte170m", "-c:v", "libx265",
        "-x265-params", "log-level=error:crf=12:keyint=1:info=0", "-tag:v", "hvc1", "-f", "mp4",
        "-movflags", "frag_keyframe+empty_moov", "pipe:1",
    ]  # fmt: skip
    mp4 = subprocess.run(command, input=png.getvalue(), capture_output=True, check=True).stdout
    found = []
    for kind in (b"hvcC", b"mdat"):
        start = mp4.index(kind) - 4
        found.append(mp4[start : start + struct.unpack(">I", mp4[start : start + 4])[0]])
    return found[0], found[1][8:]


class Heic:
    """The items of a file, and what they have in common."""

    def __init__(self, ffmpeg: str) -> None:
        self._ffmpeg = ffmpeg
        self._items: list[tuple[bytes, bytes, list[int]]] = []  # kind, data, numbers of properties
        self._properties: list[bytes] = []
        self._references: list[bytes] = []

    def _property(self, data: bytes) -> int:
        if data not in self._properties:
            self._properties.append(data)
        return self._properties.index(data) + 1

    def _add(self, kind: bytes, data: bytes, size: tuple[int, int], *properties: bytes) -> int:
        extent = box(b"ispe", struct.pack(">II", *size), full=0)
        self._items.append((kind, data, [self._property(part) for part in (*properties, extent)]))
        return len(self._items)

    def add_picture(self, picture: Image.Image, *properties: bytes) -> int:
        """Append a picture of one piece; return its number."""
        configuration, sample = encode(self._ffmpeg, picture)
        return self._add(b"hvc1", sample, picture.size, configuration, *properties)

    def add_grid(self, picture: Image.Image, side: int, *properties: bytes) -> int:
        """Append a picture as tiles of `side` pixels, those at the right and below filled up; return its number."""
        across, down = (-(-length // side) for length in picture.size)
        places = [(column * side, row * side) for row in range(down) for column in range(across)]
        tiles = [self.add_picture(picture.crop((x, y, x + side, y + side))) for x, y in places]
        grid = self._add(b"grid", struct.pack(">4B2H", 0, 0, down - 1, across - 1, *picture.size), picture.size,
                         *properties)  # fmt: skip
        self._references.append(box(b"dimg", struct.pack(f">{2 + len(tiles)}H", grid, len(tiles), *tiles)))
        return grid

    def file(self, primary: int, thumbnail: int = 0) -> bytes:
        """Return the file whose picture is the item `primary`; another item may be its thumbnail."""
        references = list(self._references)
        if thumbnail:
            references.append(box(b"thmb", struct.pack(">3H", thumbnail, 1, primary)))
        tiles = range(1, primary)
        names = [box(b"infe", struct.pack(">2H", number, 0) + kind, b"\0", full=2 << 24 | (number in tiles))
                 for number, (kind, _, _) in enumerate(self._items, 1)]  # fmt: skip
        uses = [struct.pack(">HB", number, len(properties)) + bytes(properties)
                for number, (_, _, properties) in enumerate(self._items, 1)]  # fmt: skip
        count = struct.pack(">H", len(self._items))
        parts = [
            box(b"hdlr", struct.pack(">I4s13x", 0, b"pict"), full=0),
            box(b"pitm", struct.pack(">H", primary), full=0),
            box(b"iinf", count, *names, full=0),
            box(b"iref", *references, full=0),
            box(b"iprp", box(b"ipco", *self._properties),
                box(b"ipma", struct.pack(">I", len(uses)), *uses, full=0)),
        ]  # fmt: skip
        kind = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
        first = len(kind) + len(self._meta(parts, count, 0)) + 8
        return kind + self._meta(parts, count, first) + box(b"mdat", *(data for _, data, _ in self._items))

    def _meta(self, parts: list[bytes], count: bytes, first: int) -> bytes:
        places = []
        for number, (_, data, _) in enumerate(self._items, 1):
            places.append(struct.pack(">3HII", number, 0, 1, first, len(data)))
            first += len(data)
        return box(b"meta", *parts, box(b"iloc", b"\x44\0", count, *places, full=0), full=0)


def turned(quarters: int) -> bytes:
    """Return the property that turns a picture counter-clockwise."""
    return box(b"irot", bytes([quarters]))
