"""Contact sheets: what is drawn where, of clips found by key, shard, split and label; the page plays in a browser."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from avcorr.pages.palette import HEAT, INK, MARK, WAVE
from avcorr.pages.sheets.clip_choice import choose_clips
from avcorr.pages.sheets.contact_sheet import CLIP, HEAD, MARGIN, clip_lines, clip_row, clip_sheet, describe
from avcorr.pages.sheets.sheet_page import write_page
from avcorr.pages.sheets.strip import CONNECT, SheetError, wave_of
from avcorr.pages.soundplot import spectrogram, waveform
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.format.clip import Clip
from avcorr.shards.reader import read_clips
from tests.support.browser import SLOW, chromium
from tests.support.commands import command
from tests.support.servers import S3Server


@pytest.fixture(scope="module")
def clips(shards: Path) -> list[Clip]:
    return [clip for record in Dataset(shards).records for clip in read_clips(shards, record)]


def test_clips_are_found_by_key_as_a_reader_finds_them(shards: Path, clips: list[Clip]) -> None:
    dataset, keys = Dataset(shards), [clip.key for clip in reversed(clips)]
    found = dataset.read(dataset.clips().find(keys))
    assert [clip.members() for clip in found] == [clip.members() for clip in reversed(clips)]
    with pytest.raises(DatasetMismatchError, match="no clip with the key 'vnothing'"):
        dataset.clips().find([keys[0], "vnothing"])


def test_shards_and_splits_narrow_the_choice(shards: Path, clips: list[Clip]) -> None:
    dataset, splits = Dataset(shards), {clip.key: clip.metadata.split for clip in clips}
    assert {splits[clip.key] for clip in dataset.clips(splits=["test"])} == {"test"}
    for name in ("train-000001", "train/clips-train-000001.tar", "clips-train-000001.tar"):
        found = list(dataset.clips(shards=[name]))
        assert len(found) == 4 and {clip.shard.path for clip in found} == {"train/clips-train-000001.tar"}
    with pytest.raises(DatasetMismatchError, match="no shard 'x'; it has 3, such as test-000000"):
        dataset.clips(shards=["x"])
    with pytest.raises(DatasetMismatchError, match="split 'dev'"):
        dataset.clips(splits=["dev"])


@pytest.mark.parametrize("count", [1, 2, 5, 7, 12, 40])
def test_a_choice_shows_as_many_classes_as_can_be(count: int) -> None:
    every = ["abc"[min(number, 2)] for number in range(12)]
    chosen = choose_clips(every, count)
    labels = [every[number] for number in chosen]
    assert len(set(chosen)) == len(chosen) <= count
    assert len(set(labels)) == min(count, 3) and labels == sorted(labels)
    assert {every[number] for number in choose_clips(every, count, ["c"])} == {"c"}
    with pytest.raises(DatasetMismatchError, match="no clip has the label 'd'"):
        choose_clips(every, count, ["d"])


def test_a_waveform_spans_what_it_sounds() -> None:
    wave = np.zeros(1000, np.float32)
    wave[500:] = np.where(np.arange(500) % 2, 0.5, -1.0)
    picture = waveform(wave, 100, 41)
    blue = (picture == WAVE).all(-1)
    assert blue[:, :50].sum(0).tolist() == [1] * 50  # silence is a line
    assert blue[:, 60].nonzero()[0].tolist() == list(range(10, 41))  # from +0.5 to -1
    assert waveform(wave[:7], 100, 41).shape == (41, 100, 3)


def test_a_tone_lies_where_its_pitch_is() -> None:
    rate, height = 16000, 100
    for hertz in (300, 1000, 5000):
        wave = np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32)
        picture = spectrogram(wave, rate, 50, height).astype(int)
        row = picture[:, 25].sum(-1).argmax()
        mel = 2595 * np.log10(1 + hertz / 700) / (2595 * np.log10(1 + 8000 / 700))
        assert abs((height - row - 0.5) / height - mel) < 0.02
        assert np.abs(picture[row, 25] - HEAT[-1]).max() < 30  # a tone of full scale
    silence = spectrogram(np.zeros(rate, np.float32), rate, 50, height)
    assert np.abs(silence - HEAT[0]).max() <= 1


def test_every_frame_is_drawn_over_its_moment(clips: list[Clip]) -> None:
    clip = clips[0]
    assert clip.metadata.frame_count == 12
    lines = clip_lines(clip)
    assert [line.start for line in lines] == [0.0, clip.metadata.frame_times[10]]
    assert len({line.seconds for line in lines}) == 1
    sheet = np.asarray(clip_sheet(clip))
    cell, tall = CLIP.width // CLIP.columns, round(CLIP.width / CLIP.columns * 48 / 64)
    for place in range(10):
        frame = Image.open(io.BytesIO(clip.frame(place))).convert("RGB")
        left = MARGIN + place * cell
        expected = np.asarray(frame.resize((cell - 2, tall - 2), Image.Resampling.LANCZOS))
        drawn = sheet[HEAD : HEAD + tall - 2, left : left + cell - 2]
        assert np.abs(drawn[: tall // 2].astype(int) - expected[: tall // 2]).mean() < 6
        x = MARGIN + round(clip.metadata.frame_times[place] / lines[0].seconds * CLIP.width)
        assert (sheet[HEAD + tall + CONNECT, x - 1 : x + 2] == MARK).all(-1).any(), place


def test_a_mark_stands_at_its_moment(clips: list[Clip]) -> None:
    with_mark, without = (np.asarray(clip_row(clips[0], mark).picture).astype(int) for mark in (1.5, None))
    columns = np.flatnonzero(np.abs(with_mark - without).sum(axis=(0, 2)))
    assert abs(columns.mean() - 600) < 2 and np.ptp(columns) <= 2


def test_a_long_clip_is_drawn_in_a_dozen_lines(clips: list[Clip]) -> None:
    from dataclasses import replace

    clip = clips[0]
    times = [round(0.02 * number, 6) for number in range(148)]
    picture = bytes(clip.frame(0))
    metadata = replace(clip.metadata, frame_times=times, frame_offsets=[len(picture) * n for n in range(149)])
    lines = clip_lines(Clip(metadata, clip.wav, picture * 148))
    assert len(lines) == 12 and lines[-1].start > 2.5


def test_a_frame_that_is_no_picture_is_named(clips: list[Clip]) -> None:
    clip = Clip(clips[0].metadata, clips[0].wav, b"x" * len(clips[0].mjpg))
    with pytest.raises(SheetError, match=f"frame 0 of {clip.key} cannot be drawn"):
        clip_sheet(clip)


def test_a_page_holds_all_it_shows(tmp_path: Path, clips: list[Clip]) -> None:
    page = tmp_path / "page.html"
    write_page(clips[:3], page, "<b>three</b> & clips", marks=[0.5, 1.5, 2.5], notes=["<i>one</i>", "two", "three"])
    text = page.read_text()
    assert "&lt;b&gt;three&lt;/b&gt; &amp; clips" in text and "<i>one</i>" not in text and "&lt;i&gt;one" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    sounds = re.findall(r"data:audio/flac;base64,([^\"]+)", text)
    assert len(sounds) == 3
    for clip, sound in zip(clips, sounds, strict=False):
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="int16")
        assert rate == 16000 and (wave == np.frombuffer(clip.wav[44:], "<i2")).all()
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert [Image.open(io.BytesIO(base64.b64decode(part))).width for part in pictures] == [1200] * 3
    assert describe(clips[0])[0].endswith(clips[0].key)


def test_the_page_plays_where_it_is_clicked(tmp_path: Path, clips: list[Clip]) -> None:
    write_page(clips[:1], tmp_path / "one.html", "one")
    write_page(clips[:4], tmp_path / "four.html", "four")
    with chromium(tmp_path) as browser:
        page = browser.page()
        page.size(1200, 800)
        page.open((tmp_path / "one.html").as_uri())
        page.wait("document.querySelector('audio').readyState >= 2")
        assert page.run("document.querySelector('audio').duration") == pytest.approx(3, abs=0.01)
        page.pace(SLOW)
        page.click(".strip", across=0.4, down=0.9)
        start = 0.4 * float(page.run("document.querySelector('.strip').dataset.seconds"))
        page.wait(f"document.querySelector('audio').currentTime > {start + 0.1}")
        line = page.run("parseFloat(document.querySelector('.strip i').style.left)")
        assert 40 < line < 100
        page.open((tmp_path / "four.html").as_uri())
        page.pace(SLOW)
        page.run("document.querySelectorAll('audio')[0].play()")
        page.run("document.querySelectorAll('audio')[2].play()")
        page.wait("document.querySelectorAll('audio')[0].paused && !document.querySelectorAll('audio')[2].paused")
        page.size(390, 844)
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.run("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
        assert not page.problems()


def test_inspect_from_the_command_line(
    tmp_path: Path, shards: Path, clips: list[Clip], s3: S3Server, aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    key = clips[0].key
    assert command("inspect", shards, "--key", key, "--out", tmp_path / "one.png") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(clip_sheet(clips[0])))
    assert command("inspect", shards, "--clips", 5, "--split", "train", "--out", tmp_path / "five.html") == 0
    assert (tmp_path / "five.html").read_text().count("<figure>") == 5
    bucket = s3.make_bucket("inspected")
    for path in shards.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(shards).as_posix(), path.read_bytes())
    assert command("inspect", "s3://inspected", "--key", key, "--out", tmp_path / "there.png") == 0
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "one.png").read_bytes()
    capsys.readouterr()
    for words, message in (
        (["--key", "nothing"], "has no clip with the key 'nothing'"),
        (["--out", tmp_path / "x.pdf"], "what is drawn is .png or .html"),
        (["--split", "dev"], "it has test, train"),
    ):
        assert command("inspect", shards, *words) == 1
        assert message in capsys.readouterr().err


def test_what_was_found_is_drawn(
    tmp_path: Path, embedded: Path, shards: Path, clips: list[Clip], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "--index", embedded, clips[0].key, "--duplicates", "--top", 3]
    assert command(*words, "--sheet", tmp_path / "found.png") == 0
    with Image.open(tmp_path / "found.png") as picture:
        sheet = np.asarray(picture)
    assert (sheet == INK).all(-1).any() and sheet.shape[1] == 250 + 1200 + 40
    assert command(*words, "--sheet", tmp_path / "found.html") == 0
    page = (tmp_path / "found.html").read_text()
    assert page.count("<figure>") == 3 and "cosine 0." in page or "cosine -0." in page
    moved = tmp_path / "moved"
    shutil.copytree(shards, moved)
    assert command(*words, "--sheet", tmp_path / "again.png", "--shards", moved) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "found.png").read_bytes()


def test_the_wave_is_the_sound(clips: list[Clip]) -> None:
    expected, _ = soundfile.read(io.BytesIO(clips[0].wav), dtype="float32")
    np.testing.assert_array_equal(wave_of(clips[0]), expected)
