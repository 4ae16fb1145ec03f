"""Questions with real files: pictures, sounds and videos, decoded as the shards' own were."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import avcorr
from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, find_ffmpeg
from avcorr.pipeline.decoding.media import Media, read_media
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.moments.views import decode_frames
from avcorr.pipeline.settings import ShardSettings
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.near_duplicates import BITS, picture_hashes
from avcorr.retrieval.query import file_query
from avcorr.retrieval.search import Searcher
from avcorr.shards.dataset import Dataset
from avcorr.shards.reader import read_clips
from tests.conftest import MakeVideo
from tests.support.commands import TINY, command
from tests.support.heic import Heic

SETTINGS = ShardSettings(short_side=64)


def read(path: Path) -> Media:
    return read_media(path, SETTINGS, Ffmpeg(find_ffmpeg()))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and sounds of many kinds."""
    folder = tmp_path_factory.mktemp("files")
    blocks = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
    picture = Image.fromarray(blocks)
    for suffix in ("jpg", "png", "webp", "bmp", "gif", "tiff", "avif"):
        picture.save(folder / f"picture.{suffix}")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    turned = Image.Exif()
    turned[0x112] = 6
    picture.save(folder / "turned.jpg", exif=turned)
    heic = Heic(find_ffmpeg())
    (folder / "phone.heic").write_bytes(heic.file(heic.add_grid(picture, 64)))
    shutil.copy(folder / "picture.png", folder / "wrongly-named.mp3")
    wave = 0.3 * np.sin(np.arange(3 * 44100) / 44100 * 2 * np.pi * 440)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(folder / f"sound.{suffix}", np.stack([wave, wave], 1), 44100)
    soundfile.write(folder / "short.wav", wave[:11025], 44100)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *(f"picture.{kind}" for kind in ("jpg", "png", "webp", "bmp", "gif", "tiff", "avif")),
        "wrongly-named.mp3",
        "phone.heic",
    ],
)
def test_pictures_of_all_kinds(files: Path, name: str) -> None:
    media = read(files / name)
    assert (media.kind, len(media.jpegs), media.pcm) == ("picture", 1, b"")
    out = np.empty((1, 64, 64, 3), np.uint8)
    decode_frames(media.jpegs, np.full((1, 2), 0.5), out)
    original = np.asarray(Image.open(files / "picture.png").resize((96, 64), Image.Resampling.BOX))[:, 16:80]
    assert np.abs(out[0].astype(int) - original).mean() < 12


def test_pictures_may_be_grey_transparent_or_turned(files: Path) -> None:
    assert read(files / "grey.png").kind == read(files / "alpha.png").kind == "picture"
    out = np.empty((1, 64, 64, 3), np.uint8)
    decode_frames(read(files / "turned.jpg").jpegs, np.full((1, 2), 0.5), out)
    upright = np.rot90(np.asarray(Image.open(files / "picture.png")), -1)
    expected = np.asarray(Image.fromarray(upright).resize((64, 96), Image.Resampling.BOX))[16:80]
    assert np.abs(out[0].astype(int) - expected).mean() < 12


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_sounds_of_all_kinds(files: Path, kind: str) -> None:
    media = read(files / f"sound.{kind}")
    wave = np.frombuffer(media.pcm, "<i2") / 32768
    assert media.kind == "sound" and not media.jpegs and len(wave) == pytest.approx(48000, rel=0.02)
    spectrum = np.abs(np.fft.rfft(wave[8000:24000]))
    assert spectrum.argmax() == 440 and np.sqrt(np.mean(wave[8000:24000] ** 2)) == pytest.approx(0.212, rel=0.05)


def make(ffmpeg: str, *words: str | Path) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *map(str, words)], check=True, stdin=subprocess.DEVNULL)


TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=2")


@pytest.mark.parametrize("kind", ["aiff", "caf", "au", "w64", "wv", "tta", "voc", "mka", "mp2"])
def test_sounds_of_rarer_kinds(tmp_path: Path, ffmpeg: str, kind: str) -> None:
    make(ffmpeg, *TONE, tmp_path / f"sound.{kind}")
    media = read(tmp_path / f"sound.{kind}")
    wave = np.frombuffer(media.pcm, "<i2")
    assert media.kind == "sound" and not media.jpegs and len(wave) == pytest.approx(32000, rel=0.02)
    assert np.abs(np.fft.rfft(wave[8000:24000])).argmax() == 440


@pytest.mark.parametrize(("kind", "codec"), [("mp3", "png"), ("m4a", "mjpeg"), ("flac", "png"), ("mp4", "png")])
def test_songs_with_covers_are_sounds(tmp_path: Path, files: Path, ffmpeg: str, kind: str, codec: str) -> None:
    cover = ("-i", files / "picture.png", "-map", "0", "-map", "1", "-c:v", codec, "-disposition:v", "attached_pic")
    make(ffmpeg, *TONE, *cover, tmp_path / f"song.{kind}")
    media = read(tmp_path / f"song.{kind}")
    assert (media.kind, media.jpegs) == ("sound", ()) and len(media.pcm) == pytest.approx(64000, rel=0.02)


def test_videos_with_and_without_sound(tmp_path: Path, make_video: MakeVideo) -> None:
    whole = read(make_video(tmp_path / "whole.mp4"))
    assert (whole.kind, len(whole.jpegs), len(whole.pcm)) == ("video", 12, 2 * 48000)
    silent = read(make_video(tmp_path / "silent.mp4", extra=("-an",)))
    assert (silent.kind, len(silent.jpegs), silent.pcm) == ("video", 12, b"")
    sound = read(make_video(tmp_path / "sound.mp4", extra=("-vn",)))
    assert (sound.kind, sound.jpegs, len(sound.pcm)) == ("sound", (), 2 * 48000)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"hello", "not_media"), (b"", "not_media"), (b"\xff\xd8\xff", "undecodable"),
     (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "undecodable"), (b"#EXTM3U\nfile:///etc/passwd\n", "not_media"),
     (b"ffconcat version 1.0\nfile /etc/passwd\n", "not_media"), (b"GIF89a" + b"\xff" * 50, "undecodable")],
)  # fmt: skip
def test_what_is_neither_is_refused(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="cannot be read as a picture, a sound or a video") as error:
        read(path)
    assert error.value.code == code


def test_a_picture_without_end_is_refused(tmp_path: Path) -> None:
    """Of 400 million pixels, in half a megabyte."""
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(MediaError, match="more than 268435456 pixels") as error:
        read(tmp_path / "bomb.png")
    assert error.value.code == "undecodable"


def test_a_copy_has_the_same_hashes_and_another_picture_has_not(tmp_path: Path, ffmpeg: str) -> None:
    """Encoded again, smaller and worse, and a tenth of a second later."""

    def make(name: str, source: str, *options: str) -> np.ndarray:
        path = tmp_path / f"{name}.mp4"
        words = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-t", "3", "-c:v", "libx264", *options, str(path)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        jpegs = read(path).jpegs
        out = np.empty((len(jpegs), 64, 64, 3), np.uint8)
        decode_frames(jpegs, np.full((len(jpegs), 2), 0.5), out)
        return picture_hashes(out)

    first = make("first", "mandelbrot=size=320x240:rate=20", "-crf", "18")
    copy = make("copy", "mandelbrot=size=320x240:rate=20", "-ss", "0.1", "-vf", "scale=160:120", "-crf", "35")
    other = make("other", "testsrc2=size=320x240:rate=20", "-crf", "18")
    distance = np.bitwise_count(first[:, None] ^ copy[None]).sum(-1)
    assert (distance.min(axis=1) <= BITS).sum() >= len(first) // 2
    assert np.bitwise_count(first[:, None] ^ other[None]).sum(-1).min() > BITS


def test_a_stored_frame_and_its_sound_find_themselves(
    tmp_path: Path, shards: Path, embedder: Embedder, embedded: Path
) -> None:  # fmt: skip
    """A frame that was taken out of a shard, and the second of sound around it, are where they were embedded."""
    found = EmbeddingFolder(embedded)
    searcher, record = Searcher(found), Dataset(shards).of_split("test")[0]
    clip = next(iter(read_clips(shards, record)))
    row = int(found.rows_of(found.keys.index(clip.key))[1])
    time = float(searcher.index.times[row])
    frame = clip.metadata.frame_times.index(time)
    (tmp_path / "frame.jpg").write_bytes(clip.frame(frame))
    start = round(time * 16000 - 8000)
    wave = np.frombuffer(clip.samples(start, start + 16000), "<i2")
    soundfile.write(tmp_path / "sound.wav", wave, 16000, subtype="PCM_16")
    for name, modality in (("frame.jpg", "image"), ("sound.wav", "audio")):
        query = file_query(tmp_path / name, embedder)
        vector = query.image if modality == "image" else query.audio
        assert vector is not None
        stored = searcher.index.vectors(modality, np.array([row]))[0]
        assert float(vector @ stored) > 0.999
        hit = searcher.search(vector, modality, top=1, duplicates=True)[0]
        assert hit.cosine >= float(vector @ stored) - 1e-5


def test_a_sound_shorter_than_a_window_is_filled_up_with_silence(
    files: Path, embedder: Embedder, embedded: Path, small_run: Path, tmp_path: Path, make_video: MakeVideo,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A model of 1 s asked with 0.25 s; a video of 0.9 s has both sides."""
    query = file_query(files / "short.wav", embedder)
    wave = np.frombuffer(read(files / "short.wav").pcm, "<i2")
    assert len(wave) == 4000 and query.filled == 0.75
    expected = embedder.embed_audio(np.pad(wave, (0, 12000)))[0].numpy()
    np.testing.assert_allclose(query.audio, expected, atol=1e-6)
    video = file_query(make_video(tmp_path / "short.mp4", seconds=0.9), embedder)
    assert video.image is not None and video.audio is not None and video.filled == pytest.approx(0.1, abs=0.05)
    assert command("search", "--run", small_run, "--index", embedded, "--json", files / "short.wav") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["query"]["filled"] == 0.75
    assert err.splitlines()[-1] == "a sound of 0.25 s was filled up with silence to the model's 1 s"


def test_a_loaded_model_reads_what_a_search_reads(
    files: Path, small_run: Path, tmp_path: Path, ffmpeg: str, make_video: MakeVideo
) -> None:  # fmt: skip
    """Pillow knows no HEIC, libsndfile neither WavPack nor M4A."""
    loaded = avcorr.load(small_run, device="cpu")
    for kind in ("wv", "m4a", "aiff", "caf", "au", "w64"):
        make(ffmpeg, "-i", files / "sound.wav", "-ac", "1", tmp_path / f"sound.{kind}")
    make_video(tmp_path / "video.mp4")
    whole = Image.open(files / "picture.png").convert("RGB")
    expected = loaded.embed_images([np.asarray(whole), np.asarray(whole.crop((0, 0, 64, 64)))])
    for name in ("phone.heic", "picture.avif"):
        right, tile = (loaded.embed_images(files / name) @ expected.T)[0].tolist()
        assert right > 0.9 and right > tile + 0.05, (name, right, tile)
    tone = loaded.embed_audio(files / "sound.wav")
    for path in sorted(tmp_path.glob("sound.*")):
        assert float((loaded.embed_audio(path) @ tone.T)[0, 0]) > 0.99, path
    assert len(loaded.embed_images(tmp_path / "video.mp4")) == len(loaded.embed_audio(tmp_path / "video.mp4")) == 1
    for call, name, message in (
        (loaded.embed_images, "sound.mp3", "is a sound and has no picture"),
        (loaded.embed_images, "nothing.heic", "cannot be read as an image"),
        (loaded.embed_audio, "nothing.wav", "cannot be read as a sound"),
        (loaded.embed_audio, "picture.png", "a sound without samples"),
    ):
        with pytest.raises(avcorr.Error, match=message):
            call(files / name)


def test_a_loaded_model_sees_transparent_and_deep_pictures_as_a_search_does(
    files: Path, embedder: Embedder, tmp_path: Path
) -> None:  # fmt: skip
    picture = Image.open(files / "picture.png").convert("RGB")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, 100, 120))
    white = Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    picture.putalpha(alpha)
    picture.save(tmp_path / "transparent.png")
    deep = np.asarray(white.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for name, expected in (("transparent", white), ("deep", white.convert("L").convert("RGB"))):
        found = embedder.embed_images(tmp_path / f"{name}.png")
        np.testing.assert_allclose(found, embedder.embed_images(np.asarray(expected)), atol=1e-5)


def test_search_from_the_command_line(
    files: Path, videos: Path, small_run: Path, embedded: Path, shards: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    index = tmp_path / "e"
    words = ["embed", "--run", small_run, "--shards", shards, "--out", index, "--views", 3]
    assert command(*words) == command(*words) == 0
    capsys.readouterr()
    key = EmbeddingFolder(index).keys[0]
    assert command("search", "--index", index, key, "--top", 3, "--duplicates") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].split() == ["cosine", "label", "split", "at", "key", "also"]
    ask = ["search", "--run", small_run, "--index", index, "--json", "--top", 4, "--duplicates"]
    for name, kind, by, to in (
        (files / "picture.png", "picture", "image", "audio"),
        (files / "phone.heic", "picture", "image", "audio"),
        (files / "picture.avif", "picture", "image", "audio"),
        (files / "sound.mp3", "sound", "audio", "image"),
        (next(videos.glob("test/*.mp4")), "video", "image", "audio"),
    ):
        assert command(*ask, name, "--split", "test") == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["query"]["kind"], answer["query"]["by"], answer["to"]) == (kind, by, to)
        assert len(answer["hits"]) == 4 and {hit["split"] for hit in answer["hits"]} == {"test"}
    for wrong, message in (
        (["search", "--index", index, files / "picture.png"], "give the model that made the index"),
        (["search", "--index", index, "nothing"], "no clip with that key"),
        ([*ask, files / "picture.png", "--by", "audio"], "has no audio to ask by"),
        ([*ask, Path(__file__)], "cannot be read as a picture, a sound or a video"),
        (["search", "--index", tmp_path, "x"], "holds no embeddings"),
    ):
        assert command(*wrong) == 1
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1


def test_the_model_has_to_be_the_one_that_made_the_index(
    files: Path, embedded: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = [*TINY, "train.steps=1", "train.seed=9"]
    assert command("train", "--shards", shards, "--run", tmp_path / "run", settings=settings) == 0
    assert command("search", "--run", tmp_path / "run", "--index", embedded, files / "picture.png") == 1
    assert "was made by another model" in capsys.readouterr().err
