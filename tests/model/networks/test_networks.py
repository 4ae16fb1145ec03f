"""L3-Net, AVE-Net and AVOL-Net: the papers' shapes and counts, and the faults of earlier reimplementations."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from avcorr.model.correspondence import build_model
from avcorr.model.errors import ModelError
from avcorr.model.networks.avolnet import AvolNet
from avcorr.model.networks.distance import TwoWayHead
from avcorr.model.networks.network import CorrespondenceModel
from avcorr.model.networks.spectrogram import Spectrogram
from avcorr.model.settings import ModelSettings, SpectrogramSettings
from tests.model.training.test_trainer import PairBatch, batch, read_metrics, settings, train

TINY = SpectrogramSettings(sample_rate=8000, window=256, hop=64, mel_bins=32)
KINDS = {
    "resnet18": {"architecture": "resnet18"},
    "l3net": {"architecture": "l3net"},
    "avenet": {"architecture": "avenet"},
    "avolnet": {"architecture": "avenet", "localise": True},
}
PAPER = SpectrogramSettings(window=160, hop=80, transform=512)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: the tensors are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(kind: str, width: int = 64, spectrogram: SpectrogramSettings = PAPER) -> CorrespondenceModel:
    values = {**KINDS[kind], "width": width, "spectrogram": spectrogram}
    return build_model(ModelSettings.model_validate(values), seed=0)


def shapes(model: CorrespondenceModel, tower: nn.Module, inputs: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the shapes (C, H, W) that convolutions and pools of a tower give, without computing their values."""
    seen: list[tuple[int, ...]] = []
    for module in tower.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
    model.to("meta").eval()
    outputs = tower(inputs.to("meta"))
    return [*seen, tuple(outputs.shape[1:])]


def blocks(*sizes: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return what four blocks of two convolutions give on maps of these sizes, a pool before each but the first."""
    channels = (64, 128, 256, 512)
    expected: list[tuple[int, int, int]] = []
    for block, (count, size) in enumerate(zip(channels, sizes, strict=True)):
        expected += [(channels[block - 1], *size)] if block else []
        expected += [(count, *size)] * 2
    return expected


@pytest.mark.parametrize(
    ("kind", "image", "sound", "outputs"),
    [
        # AVE-Net, figure 2: conv1 halves; its audio map is 128 x 100 there and one row higher with padding.
        ("avenet", [(112, 112), (56, 56), (28, 28), (14, 14)], [(129, 100), (64, 50), (32, 25), (16, 12)], (128,)),
        ("l3net", [(224, 224), (112, 112), (56, 56), (28, 28)], [(257, 199), (128, 99), (64, 49), (32, 24)], (512,)),
    ],
)
def test_layers_have_the_papers_shapes(
    kind: str, image: list[tuple[int, int]], sound: list[tuple[int, int]], outputs: tuple[int, ...]
) -> None:
    model = build(kind)
    spectrogram = model.spectrogram(torch.zeros(1, 16000, dtype=torch.int16))
    assert spectrogram.shape == (1, 1, 257, 199)
    assert shapes(model, model.image_tower, torch.zeros(1, 3, 224, 224)) == [*blocks(*image), outputs]
    model = build(kind)
    assert shapes(model, model.audio_tower, spectrogram) == [*blocks(*sound), outputs]


def test_avol_net_keeps_a_map_of_14_by_14_places() -> None:
    model = build("avolnet")
    *blocks_before, fc1, fc2, outputs = shapes(model, model.image_tower, torch.zeros(1, 3, 224, 224))
    assert blocks_before[-1] == (512, 14, 14)
    assert fc1 == fc2 == outputs == (128, 14, 14)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_spectrogram_of_a_second_is_257_by_199_at_either_rate(rate: int) -> None:
    chosen = SpectrogramSettings(sample_rate=rate, window=rate // 100, hop=rate // 200, transform=512)
    assert Spectrogram(chosen)(torch.zeros(1, rate, dtype=torch.int16)).shape == (1, 1, 257, 199)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_the_papers() -> None:
    # Four blocks of two 3 x 3 convolutions without bias, and two numbers a channel for each normalisation.
    layers = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    subnet = sum(9 * inputs * outputs + 2 * outputs for inputs, outputs in layers)
    assert subnet == 4_687_296
    l3net, avenet, avolnet = build("l3net"), build("avenet"), build("avolnet")
    assert (count(l3net.image_tower), count(l3net.audio_tower)) == (subnet, subnet - 2 * 9 * 64)
    assert count(l3net.head) == (1024 * 128 + 128) + (128 * 2 + 2)
    embedding = (512 * 128 + 128) + (128 * 128 + 128)
    assert count(avenet.image_tower) == count(avolnet.image_tower) == subnet + embedding
    assert count(avenet.audio_tower) == count(avolnet.audio_tower) == subnet - 2 * 9 * 64 + embedding
    assert (count(avenet.head), count(avolnet.head)) == (4, 2)


@pytest.mark.parametrize("kind", ["l3net", "avenet"])
def test_normalisation_stands_between_convolution_and_relu(kind: str) -> None:
    for tower in (build(kind, 8).image_tower, build(kind, 8).audio_tower):
        names = [type(module).__name__ for module in tower.modules() if not list(module.children())]
        for place, name in enumerate(names):
            if name == "Conv2d":
                assert names[place + 1 : place + 3] == ["BatchNorm2d", "ReLU"]


def example(items: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (items, 32, 32, 3), generator=generator).to(torch.uint8)
    return frames, torch.randint(-9000, 9000, (items, 2000), generator=generator).to(torch.int16)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_embeddings_are_unit_vectors_and_logits_float32(kind: str, precision: torch.dtype) -> None:
    """A batch normalisation that was called a normalisation of lengths is one of the faults found."""
    model = build(kind, 8, TINY)
    frames, audio = example()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        image, sound = model.image_features(frames), model.audio_features(audio)
        logits = model.logits(image, sound)
        vectors = [model.to_embeddings(image), model.to_embeddings(sound), model.embed_images(frames)]
    assert image.dtype == sound.dtype == logits.dtype == torch.float32
    assert logits.shape == (6,)
    for vector in vectors:
        assert vector.shape == (6, 64 if kind == "l3net" else 128)
        torch.testing.assert_close(vector.norm(dim=1), torch.ones(6))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_all_parameters_and_are_finite(kind: str) -> None:
    model = build(kind, 8, TINY)
    frames, audio = example()
    logits = model.logits(model.image_features(frames), model.audio_features(audio))
    nn.functional.binary_cross_entropy_with_logits(logits, torch.arange(6) % 2.0).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_gradient_is_finite_where_image_and_sound_coincide() -> None:
    """A root without an epsilon gives NaN there."""
    model = build("avenet", 8, TINY)
    vector = nn.functional.normalize(torch.ones(2, 128), dim=1).requires_grad_()
    model.logits(vector, vector.detach()).sum().backward()
    assert vector.grad is not None and vector.grad.isfinite().all()


def test_two_classes_are_judged_by_softmax_and_begin_with_the_right_sign() -> None:
    head = TwoWayHead()
    distance = torch.tensor([0.2, 1.2, 1.9])
    logits = head(distance)
    torch.testing.assert_close(logits, torch.tensor([5.0, 0.0, -3.5]), atol=1e-5, rtol=0)
    probability = torch.softmax(head.fc3(distance[:, None]), dim=1)[:, 1]
    torch.testing.assert_close(logits.sigmoid(), probability)
    assert head.coefficients() == pytest.approx((5.0, 6.0), abs=1e-5)


def test_loss_has_no_floor() -> None:
    """Softmax before the cross-entropy of softmax leaves 0.313 nats at best; a sure answer must cost nothing."""
    model = build("l3net", 8, TINY)
    with torch.no_grad():
        model.head.fc2.bias.copy_(torch.tensor([-50.0, 50.0]))  # type: ignore[union-attr, operator]
    frames, audio = example()
    logits = model.logits(model.image_features(frames), model.audio_features(audio))
    assert nn.functional.binary_cross_entropy_with_logits(logits, torch.ones(6)) < 1e-6


def test_order_of_the_pair_is_kept_by_concatenation() -> None:
    model = build("l3net", 8, TINY).eval()
    frames, audio = example()
    image, sound = model.image_features(frames), model.audio_features(audio)
    one_by_one = torch.cat([model.logits(image[i : i + 1], sound[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(model.logits(image, sound), one_by_one, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model.logits(image, sound.roll(1, 0)), one_by_one)


def test_maps_that_would_vanish_are_refused() -> None:
    model = build("avenet", 8, TINY)
    with pytest.raises(ModelError, match="of 32 x 14 is too small .* give 16 pixels, bins and windows at least"):
        model.spectrogram_features(torch.zeros(2, 1, 32, 14))


def test_heat_maps_are_probabilities_whose_largest_decides() -> None:
    model = build("avolnet", 8, TINY).eval()
    assert isinstance(model, AvolNet)
    frames, audio = example()
    maps = model.location_logits(model.image_features(frames), model.audio_features(audio)).sigmoid()
    assert maps.shape == (6, 2, 2)  # 32 pixels: a sixteenth, as 14 are of 224
    assert ((maps > 0) & (maps < 1)).all()
    logits = model.logits(model.image_features(frames), model.audio_features(audio))
    torch.testing.assert_close(maps.amax(dim=(1, 2)), logits.sigmoid())


@pytest.mark.parametrize("kind", ["l3net", "avenet", "avolnet"])
def test_colours_and_tones_are_learned(tmp_path: Path, kind: str) -> None:
    model = build(kind, 8, TINY)
    train(tmp_path, settings(steps=160, log_every=40, schedule="cosine"), model=model)
    first, *_, last = read_metrics(tmp_path)
    assert first["accuracy"] < 0.8
    assert last["accuracy"] > 0.87
    assert last["pair_loss"] < 0.35


def halves(step: int, items: int = 16) -> tuple[PairBatch, torch.Tensor]:
    """Make pairs whose colour fills one half of the frame, drawn at random, and grey noise the other."""
    whole = batch(step, matching_only=False, items=items)
    generator = torch.Generator().manual_seed(step)
    right = torch.rand(items, generator=generator) < 0.5
    coloured = (torch.arange(128) >= 64)[None, :] == right[:, None]
    grey = torch.randint(60, 200, (items, 128, 128, 1), generator=generator).to(torch.uint8)
    frames = whole.frames.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return whole._replace(frames=torch.where(coloured[:, None, :, None], frames, grey)), right


def test_the_place_of_the_sound_is_found(tmp_path: Path) -> None:
    model = build("avolnet", 8, TINY)
    chosen = settings(steps=80, schedule="cosine", augment="none")
    train(tmp_path, chosen, (halves(step)[0] for step in range(80)), model=model)
    assert isinstance(model, AvolNet)
    pairs, right = halves(1000, items=64)
    with torch.no_grad():
        model.eval()
        logits = model.location_logits(model.image_features(pairs.frames), model.audio_features(pairs.audio))
        maps = logits.sigmoid()[pairs.matches]
    assert maps.shape[1:] == (8, 8)
    found_right = maps[:, :, 4:].amax(dim=(1, 2)) > maps[:, :, :4].amax(dim=(1, 2))
    assert (found_right == right[pairs.matches]).float().mean() > 0.9
