"""What PyAV leaves undecoded: nothing that is stored, and nothing that changes what is stored."""

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from avcorr.pipeline.decoding.choice import Choice, Clock, divide, rescale
from avcorr.pipeline.decoding.decoded import Decoded
from avcorr.pipeline.decoding.pictures import Pictures
from avcorr.pipeline.decoding.pyav import Pyav
from avcorr.pipeline.errors import MediaError
from tests.conftest import MakeVideo
from tests.pipeline.decoding.test_decode import SETTINGS

B_FRAMES = ("-preset", "medium", "-bf", "3", "-b_strategy", "0", "-g", "48")
Decode = Callable[..., tuple[Decoded, int]]


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Decode:
    """Return a function that decodes, and counts the frames that came out of the decoder."""
    frames: list[int] = []
    add = Pictures.add
    monkeypatch.setattr(Pictures, "add", lambda self, frame: (frames.append(1), add(self, frame))[1])

    def decode(path: Path, *, spare: bool, seek: float = 0.0, duration: float = 10.0) -> tuple[Decoded, int]:
        frames.clear()
        backend = Pyav()
        if spare:
            return backend.decode(str(path), SETTINGS, seek=seek, duration=duration), len(frames)
        return backend._decode(str(path), SETTINGS, seek, duration, spare=False), len(frames)

    return decode


@pytest.mark.parametrize(
    ("file", "span"),
    [
        ("a.mp4", (0.0, 10.0)),
        ("a.mkv", (0.0, 10.0)),
        ("a.ts", (0.0, 10.0)),
        ("a.mp4", (1.3, 2.0)),
        ("a.ts", (1.3, 2.0)),
    ],
)
def test_what_is_stored_is_the_same(
    tmp_path: Path, make_video: MakeVideo, decode: Decode, file: str, span: tuple[float, float]
) -> None:
    path = make_video(tmp_path / file, seconds=4, rate=24, extra=B_FRAMES)
    spared, few = decode(path, spare=True, seek=span[0], duration=span[1])
    full, all_of_them = decode(path, spare=False, seek=span[0], duration=span[1])
    assert spared == full and len(full.source_times) >= 24 * min(span[1], 4) - 2
    assert few < 0.75 * all_of_them


def test_packets_without_times_spare_nothing(tmp_path: Path, make_video: MakeVideo, decode: Decode) -> None:
    path = make_video(tmp_path / "a.avi", seconds=2, rate=24, extra=B_FRAMES)
    spared, _ = decode(path, spare=True)
    assert spared == decode(path, spare=False)[0]


def test_damage_changes_no_stored_frame(tmp_path: Path, make_video: MakeVideo, decode: Decode) -> None:
    """Where the decoder stumbles, everything is decoded after all."""
    good = make_video(tmp_path / "good.mp4", seconds=3, rate=24, extra=B_FRAMES).read_bytes()
    path, chance, differ = tmp_path / "bad.mp4", random.Random(0), 0
    begin = good.index(b"mdat") + 4
    for _ in range(12):
        content = bytearray(good)
        for _ in range(chance.choice((1, 4, 16))):
            content[chance.randrange(begin, begin + len(good) // 2)] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            full, _ = decode(path, spare=False)
        except MediaError as error:
            with pytest.raises(MediaError) as caught:
                decode(path, spare=True)
            assert caught.value.code == error.code
            continue
        spared, _ = decode(path, spare=True)
        assert (spared.jpegs, spared.frame_times, spared.pcm) == (full.jpegs, full.frame_times, full.pcm)
        assert full.damaged or not spared.damaged
        differ += full.damaged
    assert differ >= 3


def packet(ticks: int | None, *, size: int = 100, discard: bool = False) -> SimpleNamespace:
    return SimpleNamespace(pts=ticks, size=size, is_discard=discard)


def test_the_first_of_each_interval_is_needed() -> None:
    """Ten ticks a second, four intervals a second, from 1 s to 2 s of a stream that begins at tick 5."""
    choice = Choice(Clock(Fraction(1, 10), -5, 4.0, 1.0, 1.0))
    order = (15, 19, 17, 16, 18, 24, 14, 25)
    assert [choice.needs(packet(ticks)) for ticks in order] == [True, True, False, False, True, True, False, False]
    assert choice.needs(packet(20, discard=True)) and choice.needs(packet(None, size=0))
    assert choice.any and choice.spared == [1.2, 1.1]
    assert choice.holds([1.0, 1.3, 1.9]) and not choice.holds([1.0, 1.4, 1.9])
    assert choice.needs(packet(None)) and not choice.holds([1.0, 1.3, 1.9])


def test_ticks_are_rounded_as_ffmpeg_does() -> None:
    assert [divide(number, 2) for number in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert rescale(1, Fraction(1, 3), Fraction(1, 1000)) == 333
    assert rescale(-1, Fraction(1, 2000), Fraction(1, 1000)) == -1
