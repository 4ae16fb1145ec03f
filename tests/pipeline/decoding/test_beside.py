"""Picture and sound in two files: one clock, right to a sample, by both decoders."""

import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from avcorr.pipeline.decoding.decode import read_clip
from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.errors import MediaError, SourceError
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import find_sources
from avcorr.pipeline.sources.source import Source
from avcorr.shards.format.clip import Clip

SETTINGS = ShardSettings(short_side=48, clip_seconds=4.0)
CLICKS = (0.75, 2.0, 5.25)
"""Seconds of the sound's file at which a single sample is not 0."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Path:
    """A video of 8 s without sound, one with a tone, and sounds of 6 s with clicks."""
    folder = tmp_path_factory.mktemp("beside")
    clicks = "+".join(rf"eq(n\,{round(16000 * second)})" for second in CLICKS)
    sound = ("-f", "lavfi", "-i", f"aevalsrc=0.5*({clicks}):sample_rate=16000:duration=6")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=8")
    run = [ffmpeg, "-v", "error", "-nostdin"]
    for name in ("x.wav", "x.flac", "x.w64"):
        subprocess.run([*run, *sound, "-c:a", "flac" if name == "x.flac" else "pcm_s16le", folder / name], check=True)
    subprocess.run([*run, *picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", folder / "x.mp4"], check=True)
    tone = ("-f", "lavfi", "-i", "sine=duration=8")
    subprocess.run([*run, *picture, *tone, "-output_ts_offset", "7", folder / "y.mkv"], check=True)
    (folder / "no.wav").write_bytes(b"no sound" * 100)
    return folder


def clip_of(backend: Backend, video: Path, audio: Path, *, offset: float = 0.0, seek: float = 0.0) -> Clip:
    source = Source(
        key="vx", path=str(video), name=video.name, video="x", split="train", start=float(seek), seek=seek,
        audio=str(audio), audio_offset=offset,
    )  # fmt: skip
    return read_clip(source, SETTINGS, backend)


def clicks_of(clip: Clip) -> list[int]:
    """Return the samples at which a click is loudest."""
    sound = np.abs(np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(int))
    return np.flatnonzero(sound > 8000).tolist()


@pytest.mark.parametrize("seek", [0.0, 1.5, 3.1])
@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5, 1.0001])
@pytest.mark.parametrize("video", ["x.mp4", "y.mkv"])
def test_sound_lies_where_the_offset_says(
    folder: Path, backend: Backend, video: str, offset: float, seek: float
) -> None:
    clip = clip_of(backend, folder / video, folder / "x.wav", offset=offset, seek=seek)
    places = [second + offset - seek for second in CLICKS]
    expected = [round(16000 * place) for place in places if 0 <= place < 4]
    assert len(clicks_of(clip)) == len(expected)
    assert all(abs(place - wanted) <= 1 for place, wanted in zip(clicks_of(clip), expected, strict=True))
    assert clip.metadata.frame_count == 16 and clip.metadata.frame_times[0] < 0.05
    assert (clip.metadata.source_sample_rate, clip.metadata.audio_streams, clip.metadata.damaged) == (16000, 1, False)
    assert clip.metadata.sample_count == round(16000 * min(4, 6 + offset - seek))


@pytest.mark.parametrize("audio", ["x.flac", "x.w64"])
def test_other_kinds_of_sound(folder: Path, backend: Backend, audio: str) -> None:
    clip = clip_of(backend, folder / "x.mp4", folder / audio, offset=-0.5, seek=1)
    assert clicks_of(clip) == [8000, 60000]


@pytest.mark.parametrize("audio", ["a.mp3", "a.m4a", "a.opus", "a.aac"])
def test_both_decoders_agree_in_the_middle_of_a_compressed_sound(
    folder: Path, tmp_path: Path, ffmpeg: str, backend: Backend, audio: str
) -> None:
    sweep = ("-f", "lavfi", "-i", "aevalsrc=0.5*sin(200*t*t):sample_rate=48000:duration=6")
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", *sweep, tmp_path / audio], check=True)
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-i", tmp_path / audio, tmp_path / "a.wav"], check=True)
    found, truth = (clip_of(backend, folder / "x.mp4", tmp_path / name, seek=3.1) for name in (audio, "a.wav"))
    one, other = (np.frombuffer(clip.samples(1600, 32000), "<i2").astype(float) for clip in (found, truth))
    assert np.abs(one - other).max() < 0.5 * 32767 * 400 * 5.1 / 16000 + 200  # what the sweep rises in a sample


def test_what_is_wrong_with_the_sound_is_told_by_its_name(folder: Path, tmp_path: Path, backend: Backend) -> None:
    for name, code in (("gone.wav", "missing"), ("no.wav", "not_media"), ("x.mp4", "no_audio")):
        with pytest.raises(MediaError) as caught:
            clip_of(backend, folder / "x.mp4", folder / name)
        assert caught.value.code == code and (name in str(caught.value) or code == "no_audio")
    with pytest.raises(MediaError) as caught:
        clip_of(backend, folder / "x.wav", folder / "x.wav")
    assert caught.value.code == "no_video"


@pytest.mark.parametrize("decoder", ["ffmpeg", "pyav"])
def test_a_list_names_both(folder: Path, tmp_path: Path, decoder: Literal["ffmpeg", "pyav"]) -> None:
    rows = "path,audio,audio_offset\nx.mp4,x.wav,-0.5\nx.mp4,x.flac,\ny.mkv,,\nx.mp4,gone.wav,0\n"
    listed = folder / "list.csv"
    listed.write_text(rows)
    sources = find_sources(listed, test_fraction=0)
    assert all("not used" not in note for note in sources.notes)
    assert len({source.key for source in sources.sources}) == 4
    settings = SETTINGS.model_copy(update={"decoder": decoder})
    summary = pack(sources, tmp_path / "root", settings, workers=2)
    assert (summary.packed, summary.reasons) == (3, {"missing": 1})
    assert "gone.wav is not there" in (tmp_path / "root" / "__index__" / "ledger.jsonl").read_text()
    listed.write_text(rows.replace("-0.5", "-0.25"))
    assert find_sources(listed, test_fraction=0).fingerprint() != sources.fingerprint()
    listed.write_text(rows.replace("-0.5", "soon"))
    with pytest.raises(SourceError, match=r"list.csv:2: audio_offset is 'soon'; expected seconds$"):
        find_sources(listed)


def test_a_sound_beside_a_video_is_told(folder: Path) -> None:
    notes = find_sources(folder / ".", test_fraction=0).notes
    assert any(
        note.startswith("1 videos have a file of sound beside them that is not used, such as x.") for note in notes
    )
