"""Which streams are taken, streams that change in mid-file, and where sound ends: the same by both decoders."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from avcorr.pipeline.decoding.decoded import Backend, mono_mix
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg
from avcorr.pipeline.decoding.messages import channel_count, parse_header
from avcorr.pipeline.decoding.packets import lay_packets
from avcorr.pipeline.decoding.pyav import Pyav
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.settings import ShardSettings
from avcorr.shards.format.clip import Clip
from tests.pipeline.decoding.test_decode import SETTINGS, clip_of

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def picture(size: str = "160x120", seconds: float = 3) -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"


def tone(hertz: int, seconds: float = 3, rate: int = 48000) -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"sine=frequency={hertz}:sample_rate={rate}:duration={seconds}"


def make(ffmpeg: str, path: Path, *words: str) -> Path:
    subprocess.run([ffmpeg, "-v", "error", "-y", *words, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def tones(clip: Clip) -> list[int]:
    """Return the loudest frequency of each second, Hz."""
    rate = clip.metadata.sample_rate
    sound = np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(float)
    seconds = [sound[start : start + rate] for start in range(0, len(sound) - rate // 2, rate)]
    return [round(int(np.abs(np.fft.rfft(second, rate)).argmax()), -1) for second in seconds]


JOINED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "stereo, then mono": (("-ac", "2"), ("-ac", "1")),
    "48 kHz, then 44.1": (("-ar", "48000"), ("-ar", "44100")),
    "mono, then 5.1": (("-ac", "1"), ("-ac", "6")),
    "a turned picture": ((), ("-vf", "scale=90:160")),
    "another size": ((), ("-vf", "scale=320:240")),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_stream_that_changes_keeps_its_time_line(tmp_path: Path, ffmpeg: str, backend: Backend, name: str) -> None:
    """Two transport streams joined: 3 s of 500 Hz, 3 s of 1500 Hz, and equal runs give equal bytes."""
    first, second = JOINED[name]
    one = make(ffmpeg, tmp_path / "a.ts", *picture(), *tone(500), *X264, "-c:a", "aac", *first)
    other = make(
        ffmpeg, tmp_path / "b.ts", *picture(), *tone(1500), *X264, "-c:a", "aac", *second, "-output_ts_offset", "3"
    )
    joined = tmp_path / "ab.ts"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    clips = [clip_of(joined, backend) for _ in range(3)]
    assert {clip.wav for clip in clips} == {clips[0].wav} and {clip.mjpg for clip in clips} == {clips[0].mjpg}
    metadata = clips[0].metadata
    assert tones(clips[0]) == [500, 500, 500, 1500, 1500, 1500]
    assert abs(metadata.duration - 6) < 0.1
    intervals = [int(4 * time + 1e-6) for time in metadata.frame_times]
    assert len(intervals) == len(set(intervals)) >= 23
    assert metadata.changed and "changed" in metadata.flags


def test_a_picture_that_changes_its_shape_is_not_stretched(tmp_path: Path, ffmpeg: str, backend: Backend) -> None:
    """A white disc stays round when a lying picture is followed by an upright one; black bars fill the rest."""
    disc = "geq=lum='255*lt(hypot(X-W/2,Y-H/2),40)':cb=128:cr=128"
    parts = [
        make(ffmpeg, tmp_path / f"{number}.ts", *picture(size), *tone(500), "-vf", disc, *X264,
             "-output_ts_offset", str(3 * number)).read_bytes()
        for number, size in enumerate(("160x120", "120x160"))
    ]  # fmt: skip
    (tmp_path / "ab.ts").write_bytes(b"".join(parts))
    clip = clip_of(tmp_path / "ab.ts", backend, ShardSettings(short_side=120))
    assert clip.metadata.changed and (clip.metadata.width, clip.metadata.height) == (160, 120)
    for number in (0, clip.metadata.frame_count - 2):
        shown = simplejpeg.decode_jpeg(bytes(clip.frame(number)), "GRAY")[..., 0] > 128
        high, wide = np.ptp(np.flatnonzero(shown.any(axis=1))) + 1, np.ptp(np.flatnonzero(shown.any(axis=0))) + 1
        assert abs(high - wide) <= 3, number
    assert not shown[:, :30].any() and 55 <= wide <= 65  # three quarters of 80


def test_parts_of_other_sizes_that_overlap_are_both_shown(tmp_path: Path, ffmpeg: str, backend: Backend) -> None:
    """The second begins 50 ms before the first ends, as parts of a recording do."""
    one = make(ffmpeg, tmp_path / "a.ts", *picture(), *tone(500), *X264, "-c:a", "aac")
    later = (*X264, "-c:a", "aac", "-output_ts_offset", "2.95")
    other = make(ffmpeg, tmp_path / "b.ts", *picture("120x160"), *tone(1500), *later)
    (tmp_path / "ab.ts").write_bytes(one.read_bytes() + other.read_bytes())
    clip = clip_of(tmp_path / "ab.ts", backend)
    assert clip.metadata.changed and clip.metadata.frame_count >= 23 and clip.metadata.frame_times[-1] > 5.5
    assert tones(clip)[:2] == [500, 500] and tones(clip)[4] == 1500


@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv"])
@pytest.mark.parametrize(("begin", "anew"), [(0, 0), (30, 0), (0, 30)])
def test_where_the_clock_jumps_the_clip_ends(
    tmp_path: Path, ffmpeg: str, backend: Backend, suffix: str, begin: int, anew: int
) -> None:
    """What lies behind, though it is longer, is neither seen nor heard; frames that a decoder holds back are there."""
    codec = ("-c:v", "mpeg2video" if suffix == "mpg" else "libx264", "-bf", "2", "-pix_fmt", "yuv420p")
    parts = [
        make(ffmpeg, tmp_path / f"{hertz}.{suffix}", *picture(seconds=length), *tone(hertz, length), *codec,
             "-output_ts_offset", str(offset)).read_bytes()
        for hertz, length, offset in ((500, 2, begin), (1500, 4, anew))
    ]  # fmt: skip
    (tmp_path / f"a.{suffix}").write_bytes(b"".join(parts))
    clip = clip_of(tmp_path / f"a.{suffix}", backend)
    metadata = clip.metadata
    assert tones(clip) == [500, 500] and 1.98 <= metadata.duration <= 2.03
    assert (metadata.frames_decoded, metadata.frame_count) == (50, 8)
    assert metadata.short and metadata.changed == (anew <= begin)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_default_sound_is_taken_or_the_one_that_is_named(
    tmp_path: Path,
    ffmpeg: str,
    backend: Backend,
    suffix: str,
) -> None:
    maps = ("-map", "0", "-map", "1", "-map", "2", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu")
    chosen = ("-disposition:a:0", "0", "-disposition:a:1", "default")
    path = make(ffmpeg, tmp_path / f"a.{suffix}", *picture(), *tone(400), *tone(900), *maps, *X264, *chosen)
    clip = clip_of(path, backend)
    assert tones(clip) == [900, 900, 900] and clip.metadata.audio_streams == 2
    for wanted, hertz in {"0": 400, "1": 900, "eng": 400, "deu": 900}.items():
        assert tones(clip_of(path, backend, SETTINGS.model_copy(update={"audio_stream": wanted})))[0] == hertz
    with pytest.raises(
        MediaError, match=r"no stream of sound 'fra' \(shard.audio_stream\); there are 0 \(eng\), 1"
    ) as caught:
        clip_of(path, backend, SETTINGS.model_copy(update={"audio_stream": "fra"}))
    assert caught.value.code == "no_audio"


def test_the_default_and_larger_picture_is_taken(tmp_path: Path, ffmpeg: str, backend: Backend) -> None:
    maps = ("-map", "0", "-map", "1", "-map", "2")
    two = (*picture("80x60"), *picture("160x120"), *tone(400), *maps, *X264)
    larger = make(ffmpeg, tmp_path / "a.mkv", *two, "-disposition:v", "default")
    assert clip_of(larger, backend).metadata.source_width == 160
    smaller = make(ffmpeg, tmp_path / "b.mkv", *two, "-disposition:v:0", "default", "-disposition:v:1", "0")
    assert clip_of(smaller, backend).metadata.source_width == 80


@pytest.mark.parametrize("empty", ["-filter:v:0 select=0", "-filter:a:0 aselect=0"])
def test_a_stream_without_packets_is_passed_over(tmp_path: Path, ffmpeg: str, backend: Backend, empty: str) -> None:
    maps = ("-map", "0", "-map", "1", "-map", "2", "-map", "3", *X264)
    path = make(ffmpeg, tmp_path / "a.mkv", *picture("160x120"), *picture("160x120"), *tone(400), *tone(400), *maps,
                *empty.split())  # fmt: skip
    clip = clip_of(path, backend)
    assert tones(clip) == [400, 400, 400] and clip.metadata.frame_count == 12


def test_a_cover_is_no_video(tmp_path: Path, ffmpeg: str, backend: Backend) -> None:
    cover = ("-map", "0", "-map", "1", "-c:v", "mjpeg", "-frames:v", "1", "-disposition:v", "attached_pic")
    path = make(ffmpeg, tmp_path / "song.mp4", *picture(), *tone(400), *cover)
    with pytest.raises(MediaError) as caught:
        clip_of(path, backend)
    assert caught.value.code == "no_video"


SINE = "sin(440*2*PI*t)"


def test_a_file_of_many_empty_streams_is_told_and_not_a_traceback(
    tmp_path: Path, ffmpeg: str, backend: Backend
) -> None:
    pictures = [word for _ in range(16) for word in picture("16x16", 1)]
    maps = [word for number in range(17) for word in ("-map", str(number))]
    filters = [word for number in range(16) for word in (f"-filter:v:{number}", "select=0")]
    path = make(ffmpeg, tmp_path / "a.mkv", *pictures, *tone(400, 1), *maps, *X264, *filters)
    with pytest.raises(MediaError) as caught:
        clip_of(path, backend)
    assert caught.value.code in ("undecodable", "no_frames")


MIXES = {
    "ambisonic.mkv": ("|".join([SINE] * 4) + ":c=4.0", ("-c:a", "libopus", "-mapping_family", "2")),
    "nine.mov": ("|".join([SINE] * 9), ("-c:a", "pcm_s16le")),
}


@pytest.mark.parametrize("name", MIXES)
def test_channels_without_a_mix_to_mono_are_heard(tmp_path: Path, ffmpeg: str, backend: Backend, name: str) -> None:
    channels, codec = MIXES[name]
    sound = f"aevalsrc={channels}:s=48000:d=3"
    path = make(ffmpeg, tmp_path / name, *picture(), "-f", "lavfi", "-i", sound, *X264, *codec)
    clip = clip_of(path, backend)
    assert tones(clip) == [440, 440, 440] and clip.metadata.loudness > -30


@pytest.mark.parametrize("name", ["a.mpg", "a.mp4"])
def test_interlaced_pictures_are_made_whole(tmp_path: Path, ffmpeg: str, backend: Backend, name: str) -> None:
    """A bar that runs across: half-pictures taken for one would show it twice, as a comb."""
    moving = "geq=lum='255*between(X,mod(N*6,150),mod(N*6,150)+24)':cb=128:cr=128"
    bar = f"color=black:size=192x144:rate=50:duration=2,{moving}"
    codec = ("-c:v", "mpeg2video", "-q:v", "2") if name.endswith("mpg") else ("-c:v", "libx264", "-x264opts", "tff=1")
    path = make(
        ffmpeg, tmp_path / name, "-f", "lavfi", "-i", f"{bar},tinterlace=interleave_top,fieldorder=tff", *tone(440, 2),
        "-pix_fmt", "yuv420p", "-flags", "+ildct+ilme", *codec,
    )  # fmt: skip
    clip = clip_of(path, backend, ShardSettings(short_side=144, jpeg_quality=2))
    assert clip.metadata.interlaced and clip.metadata.frame_count == 8
    shown = simplejpeg.decode_jpeg(bytes(clip.frame(3)), "GRAY")[..., 0].astype(int)
    inside = np.flatnonzero(shown.mean(axis=0) > 20)
    comb = np.abs(np.diff(shown[20:-20, inside], axis=0)).mean()
    assert comb < 12, comb


ENDS = {"a.mp4": ("-c:a", "aac"), "b.mp4": ("-c:a", "libmp3lame"), "c.webm": ("-c:v", "libvpx", "-c:a", "libopus"),
        "d.mkv": ("-c:a", "libvorbis")}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_both_decoders_end_the_sound_alike(tmp_path: Path, ffmpeg: str, name: str) -> None:
    path = make(ffmpeg, tmp_path / name, *picture(), *tone(440), "-pix_fmt", "yuv420p", *ENDS[name])
    counts = [clip_of(path, decoder).metadata.sample_count for decoder in (Ffmpeg(ffmpeg), Pyav())]
    assert counts == [48000, 48000]


def test_packets_are_laid_where_their_times_say() -> None:
    """Samples 1, 2 | a packet that follows on though its time is a little off | a gap | one that begins before 0."""
    pcm = np.arange(1, 9, dtype="<i2").tobytes()
    laid = np.frombuffer(lay_packets(pcm, [(0, 4), (3, 4), (1000, 8)], 100), "<i2")
    assert laid[:4].tolist() == [1, 2, 3, 4] and not laid[4:1000].any() and laid[1000:].tolist() == [5, 6, 7, 8]
    assert np.frombuffer(lay_packets(pcm, [(-3, 16)], 8000), "<i2").tolist() == [4, 5, 6, 7, 8]
    assert np.frombuffer(lay_packets(pcm, [(0, 12), (-500, 4)], 100), "<i2").tolist() == [1, 2, 3, 4, 5, 6]


def test_layouts_are_counted_and_mixed() -> None:
    counts = {"mono": 1, "stereo": 2, "5.1(side)": 6, "7.1": 8, "9 channels": 9, "ambisonic 2": 9, "quad": 4}
    assert {layout: channel_count(layout) for layout in counts} == counts
    assert mono_mix("ambisonic 1") == "mono|c0=c0" and mono_mix("3 channels") == "mono|c0<c0+c1+c2"
    assert mono_mix("stereo") == mono_mix("5.1(side)") == ""


def test_a_header_is_read_as_ffmpeg_prints_it() -> None:
    text = """
  Stream #0:0[0x1](und): Video: png, rgb24(pc, gbr/unknown/unknown), 64x64, 90k tbr (attached pic)
  Stream #0:1[0x2](eng): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp, 74 kb/s (default)
  Stream #0:2: Audio: ac3, 48000 Hz, 5.1(side), fltp
  Stream #0:3[0x4](und): Video: h264 (High) (avc1 / 0x31), yuv420p(tv, bt709, progressive), 640x428, 29.41 fps (default)
Stream mapping:
"""
    header = parse_header(text)
    assert header.complete and [stream.number for stream in header.of_kind("Video")] == [3]
    chosen = header.choose("Audio")
    assert chosen is not None and (chosen.number, chosen.language) == (1, "eng")
    other = header.choose("Audio", {("Audio", 1)})
    assert other is not None and other.number == 2
