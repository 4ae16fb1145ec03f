"""A trained model on files, arrays and tensors; weights and card; exports of every architecture."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from scipy.signal import resample_poly

from avcorr import model as product
from avcorr.model.correspondence import build_model
from avcorr.model.embedding.embedder import Embedder
from avcorr.model.errors import CheckpointError, ModelError
from avcorr.model.saving.checkpoint import Checkpoint, save_checkpoint
from avcorr.model.saving.export import export_onnx, export_programs
from avcorr.model.saving.weights import read_weights, write_weights
from avcorr.model.settings import ModelSettings, SpectrogramSettings
from tests.support.commands import command

TINY = SpectrogramSettings(sample_rate=8000, window=256, hop=64, mel_bins=32)
KINDS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "l3net": {"architecture": "l3net"},
    "avenet": {"architecture": "avenet"},
    "avolnet": {"architecture": "avenet", "localise": True},
}


def settings(kind: str) -> ModelSettings:
    return ModelSettings.model_validate({**KINDS[kind], "width": 8, "embedding_size": 16, "spectrogram": TINY})


def config(kind: str = "resnet18") -> dict[str, Any]:
    return {
        "shard": {"short_side": 48},
        "pairs": {"frame_size": 32, "window_seconds": 0.25},
        "model": settings(kind).model_dump(),
        "train": {"precision": "fp32", "objective": "pair", "batch_size": 8, "learning_rate": 1e-3, "seed": 0},
    }


def make_run(folder: Path, kind: str = "resnet18") -> Path:
    state = build_model(settings(kind), seed=3).state_dict()
    optimizer = {"state": {}, "param_groups": []}
    save_checkpoint(folder, Checkpoint(7, state, optimizer, config(kind)), keep=1)
    return folder


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return product.load(make_run(tmp_path_factory.mktemp("run")), device="cpu")


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def wave(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)


def test_images_are_alike_as_files_arrays_and_tensors(towers: Embedder, tmp_path: Path) -> None:
    arrays = [picture(48, 64, seed) for seed in range(2)]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    expected = towers.embed_images(np.stack(arrays))
    assert expected.shape == (2, 16) and expected.dtype == torch.float32
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(2))
    for items in (arrays, [torch.from_numpy(array) for array in arrays], torch.from_numpy(np.stack(arrays)),
                  [tmp_path / "0.png", str(tmp_path / "1.png")]):  # fmt: skip
        torch.testing.assert_close(towers.embed_images(items), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(towers.embed_images(tmp_path / "0.png"), expected[:1], atol=1e-6, rtol=0)


def test_the_middle_of_an_image_is_taken_at_the_trainings_scale(towers: Embedder) -> None:
    array = picture(64, 48)  # its shorter side is the training's, so nothing is scaled
    torch.testing.assert_close(towers.embed_images(array), towers.embed_images(array[8:40, 16:48].copy()))
    large = np.asarray(Image.fromarray(array).resize((128, 96), Image.Resampling.NEAREST))
    near = towers.embed_images(large) @ towers.embed_images(array).T
    far = towers.embed_images(picture(64, 48, seed=1)) @ towers.embed_images(array).T
    assert near > far


def test_grey_and_turned_files_are_read_as_seen(towers: Embedder, tmp_path: Path) -> None:
    array = picture(32, 32)
    upright, turned = Image.fromarray(array), Image.fromarray(np.rot90(array, 1).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    upright.convert("L").save(tmp_path / "grey.png")
    torch.testing.assert_close(towers.embed_images(tmp_path / "turned.png"), towers.embed_images(array))
    grey = np.repeat(np.asarray(upright.convert("L"))[:, :, None], 3, 2)
    torch.testing.assert_close(towers.embed_images(tmp_path / "grey.png"), towers.embed_images(grey))


def test_sounds_are_alike_as_files_arrays_and_tensors(towers: Embedder, tmp_path: Path) -> None:
    pcm = [(wave(2000, seed) * 32768).astype(np.int16) for seed in range(2)]
    for number, samples in enumerate(pcm):
        soundfile.write(tmp_path / f"{number}.flac", samples, 8000, subtype="PCM_16")
    expected = towers.embed_audio(np.stack(pcm))
    assert expected.shape == (2, 16)
    for items in (pcm, [samples / np.float32(32768) for samples in pcm], torch.from_numpy(np.stack(pcm)),
                  [tmp_path / "0.flac", tmp_path / "1.flac"]):  # fmt: skip
        torch.testing.assert_close(towers.embed_audio(items), expected, atol=1e-5, rtol=0)


def test_channels_are_averaged_rates_resampled_and_the_middle_taken(towers: Embedder, tmp_path: Path) -> None:
    sound = wave(6000)
    expected = towers.embed_audio(sound[2000:4000])
    torch.testing.assert_close(towers.embed_audio(sound), expected)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sound * 2, np.zeros_like(sound)], 1), 8000, subtype="FLOAT")
    torch.testing.assert_close(towers.embed_audio(tmp_path / "stereo.wav"), expected, atol=1e-5, rtol=0)
    other = resample_poly(sound, 3, 1).astype(np.float32)  # and back again, which keeps all but the highest tones
    found = towers.embed_audio(other, rate=24000)
    assert (found * expected).sum() > 0.98
    assert (towers.embed_audio(wave(6000, 5)) * expected).sum() < (found * expected).sum()


def test_many_items_are_embedded_as_one_by_one(towers: Embedder) -> None:
    arrays = [picture(32, 32, seed) for seed in range(70)]
    together = towers.embed_images(arrays)
    assert together.shape == (70, 16)
    torch.testing.assert_close(together[66:67], towers.embed_images(arrays[66]), atol=1e-5, rtol=0)


def test_probabilities_are_the_heads(towers: Embedder) -> None:
    images, sounds = np.stack([picture(32, 32, seed) for seed in range(3)]), np.stack([wave(2000, s) for s in range(3)])
    distance = (towers.embed_images(images) - towers.embed_audio(sounds)).norm(dim=1)
    torch.testing.assert_close(towers.probability(images, sounds), (6 - 5 * distance).sigmoid(), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        towers.probability(images[0], sounds), towers.probability(np.stack([images[0]] * 3), sounds)
    )


def test_places_of_a_sound_are_given_by_models_that_localise(towers: Embedder, tmp_path: Path) -> None:
    localising = product.load(make_run(tmp_path, "avolnet"), device="cpu")
    maps = localising.heat_maps(picture(32, 32), wave(2000))
    assert maps.shape == (1, 2, 2)
    torch.testing.assert_close(maps.amax(dim=(1, 2)), localising.probability(picture(32, 32), wave(2000)))
    with pytest.raises(ModelError, match=r"train one with model\.localise: true"):
        towers.heat_maps(picture(32, 32), wave(2000))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (np.zeros((32, 32), np.uint8), "3 or 4 dimensions; found 2"),
        (np.zeros((32, 32, 3), np.float32), r"uint8 \(H, W, 3\), RGB; found float32"),
        (np.zeros((3, 32, 32), np.uint8), r"found uint8 \(3, 32, 32\)"),
        ([], "nothing to embed"),
        ("absent.png", "absent.png cannot be read as an image"),
    ],
)
def test_what_is_no_image_is_refused(towers: Embedder, items: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        towers.embed_images(items)


def test_what_is_no_sound_is_refused(towers: Embedder, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    for items, message in (
        (np.zeros(0, np.int16), "a sound without samples"),
        (np.zeros(2000, np.int32), r"int16 or floating point \(N,\); found int32"),
        (tmp_path / "text.wav", "text.wav cannot be read as a sound"),
    ):
        with pytest.raises(ModelError, match=message):
            towers.embed_audio(items)
    with pytest.raises(ModelError, match="one image or as many as sounds; found 3 and 2"):
        towers.probability(np.stack([picture(32, 32)] * 3), np.stack([wave(2000)] * 2))


def test_a_sound_shorter_than_the_window_is_filled_up(towers: Embedder, caplog: pytest.LogCaptureFixture) -> None:
    sound = wave(1200)
    found = towers.embed_audio(sound)
    torch.testing.assert_close(found, towers.embed_audio(np.pad(sound, (0, 800))))
    assert caplog.messages == ["a sound of 0.15 s was filled up with silence to the model's 0.25 s"]


def test_weights_come_back_with_their_configuration(tmp_path: Path) -> None:
    made = build_model(settings("l3net"), seed=1).to(memory_format=torch.channels_last)
    facts = {"step": 12, "dataset": "toys", "train_videos": 34, "versions": {"torch": "2"}}
    write_weights(tmp_path, made, config("l3net"), facts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    read, saved, step = read_weights(tmp_path)
    assert (saved["model"]["architecture"], step, read.training) == ("l3net", 12, False)
    for name, value in made.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name
    card = (tmp_path / "README.md").read_text()
    assert "# L3-Net" in card and "toys, 34 source videos" in card and "12 of 8 pairs" in card
    assert f"| {sum(p.numel() for p in made.parameters()):,} |" in card


def test_the_card_tells_what_was_measured(tmp_path: Path) -> None:
    evaluation = {
        "clips": 9, "videos": 8, "split": "test", "gallery_sha256": "ab" * 32,
        "avc": {"accuracy": 0.876, "interval": [0.85, 0.9], "pairs": 90},
        "retrieval": {"image_to_audio": {"recall_at_1": 0.5, "chance": {"recall_at_1": 0.1}}},
    }  # fmt: skip
    write_weights(tmp_path, build_model(settings("resnet18"), 0), config(), {"step": 1, "evaluation": evaluation})
    card = (tmp_path / "README.md").read_text()
    assert "accuracy over 90 pairs | 87.6 % (85.0 to 90.0) | 50 % |" in card
    assert "image to audio recall at 1 | 50.0 % | 10.0 % |" in card


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("config.json", '"format": 1', '"format": 9', "has format 9; this version reads 1"),
        (
            "config.json",
            '"embedding_size": 16',
            '"embedding_size": 8',
            "is of another network than",
        ),
        ("config.json", '"width": 8', '"width": 800000', "does not know: model.width"),
        (
            "config.json",
            '"step": 1',
            '"step": "1"',
            r"no readable weights \(step",
        ),
        ("config.json", '"step": 1', '"step": NaN', r"no readable weights \(NaN is no number"),
        ("config.json", '"pairs"', '"pear"', r"no readable weights \(config.pairs is not there\)"),
        ("config.json", "{", "[" * 9999, r"no readable weights \(is nested too deeply"),
        ("model.safetensors", '"F32"', '"I32"', r"another network.*audio_tower.\S+ \(checkpoint: torch.int32 \("),
        ("model.safetensors", "{", "[", "no readable weights"),
    ],
)
def test_forged_weights_are_refused(tmp_path: Path, name: str, before: str, after: str, words: str) -> None:
    write_weights(tmp_path, build_model(settings("resnet18"), 0), config(), {"step": 1})
    data = (tmp_path / name).read_bytes()
    assert before.encode() in data
    (tmp_path / name).write_bytes(data.replace(before.encode(), after.encode(), 1))
    with pytest.raises(CheckpointError, match=words):
        product.load(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "absent"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    write_weights(tmp_path, build_model(settings("resnet18"), 0), config(), {"step": 1})
    weights = tmp_path / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match="no readable weights"):
        product.load(tmp_path)


def test_a_run_without_checkpoints_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        product.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "export", "ending"),
    [
        ("l3net", export_onnx, "onnx"),
        ("avenet", export_onnx, "onnx"),
        ("avolnet", export_onnx, "onnx"),
        ("l3net", export_programs, "pt2"),
        ("avolnet", export_programs, "pt2"),
    ],
)
def test_exports_of_other_architectures_agree_with_torch(
    tmp_path: Path, kind: str, export: Callable[..., dict[str, float]], ending: str
) -> None:
    """Sounds are tones with silence beside them, which a coarse Fourier transform fills up."""
    frames = torch.from_numpy(np.stack([picture(32, 32, seed) for seed in range(4)]))
    time = np.arange(2000) / 8000
    tones = np.stack([np.sin(speed * time) * 20000 for speed in (900, 2500, 7000, 20000)])
    differences = export(build_model(settings(kind), seed=0), tmp_path, frames, torch.from_numpy(tones).short())
    assert set(differences) == {"image", "audio", "pair"}
    assert max(differences.values()) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}.{ending}" for name in ("audio", "image", "pair")
    ]


def test_the_lines_of_the_card_give_what_the_loaded_model_gives(tmp_path: Path, small_run: Path) -> None:
    """As the card prints them, in a program that has numpy and onnxruntime and nothing else of ours."""
    assert command("export", "--run", small_run, "--out", tmp_path / "model", "--onnx", tmp_path / "onnx") == 0
    card = (tmp_path / "onnx" / "README.md").read_text()
    assert card == (tmp_path / "model" / "README.md").read_text()
    lines = card.split("```python\n")[1].split("```")[0]
    program = (
        "import sys, numpy\ngiven = numpy.load(sys.argv[1])\nframe, sound, rate = given['frame'], given['sound'], "
        f"int(given['rate'])\n{lines}\nnumpy.savez(sys.argv[1], image=image, audio=audio)\n"
        "assert not {'torch', 'PIL', 'scipy', 'avcorr'} & set(sys.modules)\n"
    )
    loaded, given = product.load(small_run, device="cpu"), tmp_path / "given.npz"
    for frame, sound, rate in (
        (picture(64, 48), (wave(20000) * 32768).astype(np.int16), 16000), (picture(32, 32), wave(90000), 44100),
        (picture(31, 100), wave(60001).astype(np.float64), 48000), (picture(500, 333), wave(9000), 11025),
        (picture(20, 21), wave(16000) / 1000, 16000),
    ):  # fmt: skip
        np.savez(given, frame=frame, sound=sound, rate=rate)
        subprocess.run([sys.executable, "-c", program, given], cwd=tmp_path / "onnx", check=True)
        found = np.load(given)
        for name, expected in (("image", loaded.embed_images(frame)), ("audio", loaded.embed_audio(sound, rate))):
            assert found[name].shape == expected.shape
            assert np.abs(found[name] - expected.numpy()).max() < 1e-3, (name, frame.shape, rate)


def test_an_export_needs_examples(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="three examples of pairs or more; found 1 and 1"):
        export_programs(build_model(settings("resnet18"), 0), tmp_path, torch.zeros(1, 32, 32, 3), torch.zeros(1, 2000))
