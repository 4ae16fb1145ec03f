"""The rendered corpus: same bytes for the same seed, a balanced table, and sound that begins when the picture says."""

import csv
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from avcorr.corpus.encode import encode
from avcorr.corpus.render import HEADER, clip_path, clip_split, render_corpus
from avcorr.corpus.rendered_clip import LABELS, Clip, Look
from avcorr.corpus.sounds import SAMPLE_RATE
from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg
from avcorr.pipeline.errors import CorpusError

WIDTH, HEIGHT, SEED = 160, 120, 3


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    return find_ffmpeg()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Path:
    """One clip of each class, rendered in this process."""
    out = tmp_path_factory.mktemp("corpus")
    render_corpus(out, len(LABELS), SEED, 1, ffmpeg)
    return out


def decoded(ffmpeg: str, video: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode an mp4 into frames uint8 (frames, height, width, 3) and samples int16."""
    base = [ffmpeg, "-nostdin", "-v", "error", "-i", str(video)]
    picture = subprocess.run([*base, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"], capture_output=True, check=True)
    sound = subprocess.run([*base, "-f", "s16le", "-ac", "1", "pipe:1"], capture_output=True, check=True)
    frames = np.frombuffer(picture.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    return frames, np.frombuffer(sound.stdout, "<i2")


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_has_at_least_ten_classes() -> None:
    assert len(set(LABELS)) == len(LABELS) >= 10


def test_table_names_every_clip(corpus: Path) -> None:
    with (corpus / "corpus.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == HEADER
    assert [row[1] for row in rows[1:]] == list(LABELS)
    for path, label, split, start, duration in rows[1:]:
        assert (corpus / path).is_file() and path.startswith(f"videos/{label}_")
        assert (split, start, duration) == ("train", "0", "10")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.25, 0.5])
def test_split_is_balanced_in_every_class(share: float) -> None:
    clips = 1000
    for place, label in enumerate(LABELS):
        mine = range(place, clips, len(LABELS))
        tests = sum(clip_split(index, share) == "test" for index in mine)
        assert abs(tests - share * len(mine)) <= 1, label


def test_two_workers_give_the_same_bytes(corpus: Path, ffmpeg: str, tmp_path: Path) -> None:
    again = tmp_path / "again"
    render_corpus(again, len(LABELS), SEED, 2, ffmpeg)
    assert digests(again) == digests(corpus)


def test_clip_depends_on_seed_and_index_only(corpus: Path, ffmpeg: str, tmp_path: Path) -> None:
    render_corpus(tmp_path / "short", 2, SEED, 1, ffmpeg, test_share=0.5)
    render_corpus(tmp_path / "other", 2, SEED + 1, 1, ffmpeg)
    for index in (0, 1):
        first, short, other = (
            (folder / clip_path(index)).read_bytes() for folder in (corpus, tmp_path / "short", tmp_path / "other")
        )
        assert first == short != other


def test_an_interrupted_corpus_is_finished(corpus: Path, ffmpeg: str, tmp_path: Path) -> None:
    out = tmp_path / "resumed"

    def stop_after_one(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_corpus(out, 2, SEED, 1, ffmpeg, progress=stop_after_one)
    kept = out / clip_path(0)
    written = kept.stat().st_mtime_ns
    assert not (out / "corpus.csv").exists() and not (out / clip_path(1)).exists()
    seen: list[tuple[int, int]] = []
    render_corpus(out, 2, SEED, 1, ffmpeg, progress=lambda done, clips: seen.append((done, clips)))
    assert seen == [(1, 2), (2, 2)] and kept.stat().st_mtime_ns == written
    assert (out / clip_path(1)).read_bytes() == (corpus / clip_path(1)).read_bytes()


@pytest.mark.parametrize("label", LABELS)
def test_decodes_to_ten_seconds_that_move_and_sound(corpus: Path, ffmpeg: str, label: str) -> None:
    frames, samples = decoded(ffmpeg, corpus / clip_path(LABELS.index(label)))
    assert len(frames) == 250
    assert abs(len(samples) / SAMPLE_RATE - 10) < 0.08
    loudest, level = np.abs(samples.astype(int)).max(), float(np.sqrt(np.mean(samples.astype(float) ** 2)))
    assert loudest < 32700 and level > 100
    assert np.abs(np.diff(frames[::5].astype(int), axis=0)).mean() > 0.1
    assert frames.std() > 15


@pytest.mark.parametrize("turn", [0, 1])
def test_drum_sounds_when_the_skin_flashes(ffmpeg: str, tmp_path: Path, turn: int) -> None:
    # The lowest difficulty: no cutaway hides the drum, nothing else is loud.
    clip = Clip(SEED, LABELS.index("drum") + turn * len(LABELS), Look(WIDTH, HEIGHT, 0.0))
    encode(ffmpeg, tmp_path / "drum.mp4", clip.look, clip.frames(), clip.waveform())
    frames, samples = decoded(ffmpeg, tmp_path / "drum.mp4")
    drum = clip.subject
    x, y, reach = int(drum.x * HEIGHT), int(drum.y * HEIGHT), int(0.4 * drum.radius * HEIGHT)
    skin = frames[:, y - 5 : y + 6, x - reach : x + reach].astype(float).mean(axis=(1, 2, 3))
    flashes = (np.flatnonzero(np.diff(skin) > 0.5 * np.diff(skin).max()) + 1) / 25
    hop = SAMPLE_RATE // 100
    energy = (samples[: 1000 * hop].astype(float) ** 2).reshape(-1, hop).mean(axis=1)
    rise = np.log(energy[1:] + 1e4) - np.log(energy[:-1] + 1e4)
    onsets = (np.flatnonzero(rise > 0.35 * rise.max()) + 1) / 100
    assert len(flashes) >= 8
    for flash in flashes:
        assert np.abs(onsets - flash).min() < 0.04, f"no onset near the flash at {flash:.2f} s"


@pytest.mark.parametrize("label", LABELS)
def test_picture_and_sound_do_not_depend_on_which_is_made_first(label: str) -> None:
    first, second = (Clip(SEED, LABELS.index(label), Look(64, 48, 1.0)) for _ in range(2))
    picture = next(first.frames())
    sound = second.waveform()
    assert next(second.frames()) == picture
    assert (first.waveform() == sound).all()


def test_refuses_a_folder_of_something_else(corpus: Path, ffmpeg: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not ours")
    with pytest.raises(CorpusError, match="not empty and holds no corpus.json"):
        render_corpus(tmp_path, 1, SEED, 1, ffmpeg)
    with pytest.raises(CorpusError, match=r"another corpus \(different: seed\)"):
        render_corpus(corpus, len(LABELS), SEED + 1, 1, ffmpeg)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(("name", "value"), [("width", 161), ("difficulty", 1.5), ("test_share", -0.1)])
def test_refuses_settings_out_of_range(ffmpeg: str, tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(CorpusError, match=name):
        render_corpus(tmp_path / "none", 1, SEED, 1, ffmpeg, **{name: value})
    assert not (tmp_path / "none").exists()


def test_reports_what_ffmpeg_said(ffmpeg: str, tmp_path: Path) -> None:
    """An encoder that a build lacks is the usual failure; here its output folder vanishes."""
    clip = Clip(SEED, 0, Look(WIDTH, HEIGHT, 0.25))
    with pytest.raises(CorpusError, match="ffmpeg ended with"):
        encode(ffmpeg, tmp_path / "gone" / "clip.mp4", clip.look, clip.frames(), clip.waveform())
