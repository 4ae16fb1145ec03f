"""Harm done to good videos, byte by byte, and a run of the packer among them, measured: for tests and benchmarks."""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg

ROOT = Path(__file__).parents[2]

Harm = Callable[[bytes, random.Random], bytes | None]
_TIMES = {b"mvhd": (12, 16), b"tkhd": (12, 20), b"mdhd": (12, 16)}
"""Boxes that state a length: where their time scale and their length lie in version 0, from the box's name + 4."""
_AROUND = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"avcC")
"""Boxes that hold an H.264 configuration, from the outside in."""


def cut(data: bytes, chance: random.Random) -> bytes:
    """Keep what lies before a random place."""
    return data[: chance.randrange(1, len(data))]


def flip(data: bytes, chance: random.Random, count: int) -> bytes:
    """Change `count` bytes, each at a random place; every second lies in the first 4 KiB, where headers are."""
    changed = bytearray(data)
    for number in range(count):
        place = chance.randrange(min(len(data), 4096) if number % 2 else len(data))
        changed[place] ^= chance.randrange(1, 256)
    return bytes(changed)


def claim(data: bytes, seconds: int) -> bytes:
    """Let an MP4's or a Matroska's headers say that it is so long."""
    changed = bytearray(data)
    place = data.find(b"\x44\x89\x88", 0, 4096) + 3  # Duration, a float of 8 bytes in milliseconds
    if data.startswith(b"\x1a\x45\xdf\xa3") and place > 3:
        changed[place : place + 8] = struct.pack(">d", 1000.0 * seconds)
        return bytes(changed)
    scale = 1000
    for name, (scale_at, length_at) in _TIMES.items():
        place = data.find(name)
        while place >= 0:
            base = place + 4
            if name != b"tkhd":
                scale = int.from_bytes(data[base + scale_at : base + scale_at + 4])
            changed[base + length_at : base + length_at + 4] = min(seconds * scale, 2**32 - 2).to_bytes(4)
            place = data.find(name, base)
    return bytes(changed)


def widen(data: bytes, width: int, height: int) -> bytes:
    """Give an MP4's H.264 picture another size, in pixels, in the one place that a decoder believes.

    The file keeps its sense where its index lies behind its pictures, as ffmpeg writes it.
    """
    sps = _sps(width, height)
    old = data.index(b"avcC") + 4
    size = int.from_bytes(data[old + 6 : old + 8])
    changed = bytearray(data)
    changed[old + 6 : old + 8 + size] = len(sps).to_bytes(2) + sps
    for name in _AROUND:
        place = data.rindex(name, 0, old) - 4
        changed[place : place + 4] = (int.from_bytes(changed[place : place + 4]) + len(sps) - size).to_bytes(4)
    return bytes(changed)


def widen_avi(data: bytes, width: int, height: int) -> bytes:
    """Give an AVI's picture another size, in pixels: 32 bits hold any."""
    changed = bytearray(data)
    place = data.index(b"strf", data.index(b"vids")) + 8
    changed[place + 4 : place + 12] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(changed)


def misdate(data: bytes, seconds: int) -> bytes:
    """Let an MPEG-TS's first piece of sound lie so many seconds before the others."""
    changed = bytearray(data)
    place = data.index(b"\0\0\1\xc0") + 9  # the PTS of a PES packet with sound (ISO/IEC 13818-1, 2.4.3.6)
    a, b, c = changed[place], int.from_bytes(data[place + 1 : place + 3]), int.from_bytes(data[place + 3 : place + 5])
    ticks = ((a >> 1 & 7) << 30 | b >> 1 << 15 | c >> 1) - 90000 * seconds & 2**33 - 1
    changed[place] = a & 0xF0 | (ticks >> 30) << 1 | 1
    changed[place + 1 : place + 3] = ((ticks >> 15 & 0x7FFF) << 1 | 1).to_bytes(2)
    changed[place + 3 : place + 5] = ((ticks & 0x7FFF) << 1 | 1).to_bytes(2)
    return bytes(changed)


_PRIMARIES, _TRANSFERS, _MATRICES = (1, 4, 5, 9, 12, 22), (1, 4, 8, 13, 16, 18), (0, 1, 4, 5, 9, 14)
"""Numbers of ITU-T H.273: those in use, and some that nothing can be made of."""
_TS = ("-f", "mpegts", "pipe:1")
_BOTH = ("-abort_on", "empty_output_stream")


def retag(data: bytes, chance: random.Random) -> bytes | None:
    """Let H.264 declare other colours than it has; None for other pictures."""
    tags = f"colour_primaries={chance.choice(_PRIMARIES)}:transfer_characteristics={chance.choice(_TRANSFERS)}"
    tags += f":matrix_coefficients={chance.choice(_MATRICES)}:video_full_range_flag={chance.randrange(2)}"
    return _convert(data, "-c", "copy", "-bsf:v", f"h264_metadata={tags}", "-f", "matroska", "pipe:1")


def change(data: bytes, chance: random.Random) -> bytes | None:
    """Return two seconds of a clip, and two of another size, rate and number of channels behind them.

    None where the two seconds lack picture or sound.
    """
    parts = []
    for number in range(2):
        side, rate, channels = (chance.choice(values) for values in ((96, 144, 240), (22050, 44100, 48000), (1, 2, 6)))
        size = chance.choice((f"{side}:160", f"160:{side}"))
        sound = ("-c:a", "aac", "-ar", str(rate), "-ac", str(channels), *_BOTH)
        parts.append(_convert(data, "-t", "2", "-vf", f"scale={size},setsar=1,format=yuv420p", "-c:v", "libx264",
                              "-preset", "ultrafast", *sound, "-output_ts_offset", str(2 * number), *_TS))  # fmt: skip
    return b"".join(part or b"" for part in parts) or None


def jump(data: bytes, chance: random.Random) -> bytes | None:
    """Return two seconds of a clip three times over, as a stream whose clock jumps each time.

    They are encoded anew, for a transport stream carries few codecs, and none whose headers lie apart. None where the
    two seconds lack picture or sound.
    """
    times = [str(chance.choice((0, 0, 1, 30, 3600, 90000))) for _ in range(3)]
    part = _convert(data, "-t", "2", "-vf", "scale=320:-2,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast",
                    "-bf", "2", "-c:a", "aac", *_BOTH, *_TS)  # fmt: skip
    if part is None:
        return None
    parts = [_convert(part, "-c", "copy", "-output_ts_offset", time, *_TS) for time in times]
    return b"".join(part or b"" for part in parts)


def _convert(data: bytes, *words: str) -> bytes | None:
    """Return what ffmpeg makes of the picture and the sound of a video; None where it cannot."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [find_ffmpeg(), "-v", "quiet", "-nostdin", "-i", file.name, "-map", "0:V:0", "-map", "0:a:0",
                   "-fflags", "+bitexact", *words]  # fmt: skip
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    return result.stdout if result.returncode == 0 else None


def _sps(width: int, height: int) -> bytes:
    """Return a sequence parameter set of H.264's baseline profile (ITU-T H.264, 7.3.2.1) of this size."""
    values = (0, 0, 2, 1)  # id, frame numbers in 4 bits, pictures in decoding order, one reference
    bits = "".join(_golomb(value) for value in values) + "0"
    bits += _golomb(width // 16 - 1) + _golomb(height // 16 - 1) + "1000" + "1"  # frames only; no crop, no VUI; end
    bits += "0" * (-len(bits) % 8)
    payload = bytes((66, 0xC0, 62)) + int(bits, 2).to_bytes(len(bits) // 8)
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped.endswith(b"\0\0"):
            escaped.append(3)
        escaped.append(byte)
    return b"\x67" + bytes(escaped)


def _golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def make_nodes(folder: Path) -> dict[str, str]:
    """Make things with videos' names that are no files; return the reason code of each by its name."""
    (folder / "folder.mp4").mkdir()
    (folder / "linked-folder.mp4").symlink_to(folder / "folder.mp4")
    (folder / "loop.mp4").symlink_to("pool.mp4")
    (folder / "pool.mp4").symlink_to("loop.mp4")
    (folder / "nowhere.mp4").symlink_to("absent.mp4")
    (folder / "zeros.mp4").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(folder, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/socket.mp4")  # a socket's path may have 107 bytes
        finally:
            os.close(here)
    (folder / "empty.mp4").touch()
    unreadable = ("folder", "linked-folder", "loop", "pool", "zeros", "pipe", "socket")
    return {f"{name}.mp4": "unreadable" for name in unreadable} | {"nowhere.mp4": "missing", "empty.mp4": "empty"}


NAMES = (b"-dash.mp4", b"--set.mp4", b"new\nline.mp4", b"not \xff\xfe utf-8.mp4", "\U0001f3ba emoji.mp4".encode(),
         b"%d%s.mp4", b"a'b\"c`d$(e).mp4", b"pipe:0.mp4", b"concat:a|b.mp4", b" .mp4", b".mp4", b"a\\b.mp4",
         "ü".encode() * 120 + b".mp4")  # fmt: skip
"""Names of files that programs trip over; the file's content is good."""


def run_shard(folder: Path, root: Path, *more: str, hang: float = 60.0) -> tuple[int | None, str, float]:
    """Run `avcorr shard`; return its exit code, None where it hung, what it said, and MB of its largest process.

    A small process starts it, because a child's peak counts from that of the process that started it.
    """
    words = [sys.executable, "-c", _MEASURE, sys.executable, str(ROOT / "run.py"), "shard", "--source", str(folder),
             "--out", str(root), *more]  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            said = process.communicate(timeout=hang)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            return None, process.communicate()[0].decode(errors="replace"), 0.0
    said, _, peak = said.rstrip().rpartition("\n")
    return process.returncode, said, int(peak) / 1024


_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.exit(code)
"""
