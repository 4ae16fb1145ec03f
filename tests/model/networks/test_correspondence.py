"""Towers, distance, head and the model around them."""

import math

import pytest
import torch
import torchvision

from avcorr.model.correspondence import build_model
from avcorr.model.networks.convolution import Convolution, LateConvolution
from avcorr.model.networks.distance import DistanceHead, cosine_to_distance, unit_distance
from avcorr.model.networks.resnet18 import ResNet18
from avcorr.model.settings import ModelSettings, SpectrogramSettings

SMALL = ModelSettings(embedding_size=16, width=8, spectrogram=SpectrogramSettings(mel_bins=32, hop=320))


def test_tower_of_width_64_is_torchvisions_resnet18() -> None:
    tower, reference = ResNet18(3, 10).eval(), torchvision.models.resnet18(weights=None, num_classes=10).eval()
    reference.load_state_dict(tower.state_dict())
    images = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tower(images), reference(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 3), (4, 4), (5, 5)])
def test_late_convolution_is_a_convolution(size: tuple[int, int], stride: int) -> None:
    """Values and gradients, on maps on both sides of where it changes its way."""
    generator = torch.Generator().manual_seed(0)
    layer = LateConvolution(6, 5, stride)
    reference = torch.nn.Conv2d(6, 5, 3, stride, 1, bias=False)
    reference.load_state_dict(layer.state_dict())
    inputs = torch.randn(3, 6, *size, generator=generator)
    results = []
    for one in (layer, reference):
        features = inputs.clone().requires_grad_()
        outputs = one(features)
        outputs.square().sum().backward()
        results.append((outputs, features.grad, one.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [Convolution, LateConvolution])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (9, 1), (2, 2), (9, 2), (14, 2), (5, 3)])
def test_gradients_in_bfloat16_are_right_on_the_narrowest_maps(kind: type[Convolution], size: tuple[int, int]) -> None:
    """oneDNN leaves columns of such a gradient unwritten; memory that was used before shows it."""
    generator = torch.Generator().manual_seed(0)
    layer = kind(64, 32, stride=2).to(memory_format=torch.channels_last)
    features = torch.randn(4, 64, *size, generator=generator).to(memory_format=torch.channels_last)
    layer(features).square().sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    assert expected is not None
    for _ in range(5):
        used = [torch.full((count,), torch.nan) for count in (100, 9 * 64 * 32, 20_000, 100_000)]
        del used
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(features).float().square().sum().backward()
        assert layer.weight.grad is not None
        assert (layer.weight.grad - expected).norm() < 0.02 * expected.norm()
        layer.weight.grad = None


def test_width_scales_every_layer() -> None:
    assert ResNet18(1, 16, width=8).fc.in_features == 64
    assert ResNet18(1, 16, width=8).conv1.weight.shape == (8, 1, 7, 7)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_embeddings_are_float32_unit_vectors(precision: torch.dtype) -> None:
    model = build_model(SMALL, seed=0).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (4, 32, 32, 3), generator=generator).to(torch.uint8)
    audio = torch.randint(-9000, 9000, (4, 8000), generator=generator).to(torch.int16)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        image, sound = model.embed_images(frames), model.embed_audio(audio)
    for vectors in (image, sound):
        assert vectors.shape == (4, 16)
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert model.logits(image, sound).dtype == torch.float32


def test_frames_are_normalised_as_imagenet_is() -> None:
    model = build_model(SMALL, seed=0)
    seen = []
    model.image_tower.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frames = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    frames[..., 1] = 255
    model.embed_images(frames)
    expected = torch.tensor([(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0 - 0.406) / 0.225])
    torch.testing.assert_close(seen[0], expected[None, :, None, None].expand(2, 3, 32, 32))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_initial_weights_depend_on_the_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = build_model(SMALL, 1), build_model(SMALL, 1), build_model(SMALL, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.image_tower.conv1.weight, same.image_tower.conv1.weight)
    assert not torch.equal(first.image_tower.conv1.weight, other.image_tower.conv1.weight)


def test_distance_of_unit_vectors_is_euclidean() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    torch.testing.assert_close(unit_distance(*vectors), (vectors[0] - vectors[1]).norm(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cosine", [1.0, 1.0 + 1e-6, 0.0, -1.0])
def test_distance_has_a_finite_gradient_even_at_equal_vectors(cosine: float) -> None:
    value = torch.tensor(cosine, requires_grad=True)
    distance = cosine_to_distance(value)
    distance.backward()
    assert value.grad is not None
    assert value.grad.isfinite()
    assert distance.item() == pytest.approx(math.sqrt(max(2 - 2 * cosine, 0)), abs=2e-4)


def test_head_starts_at_slope_5_and_threshold_1_2() -> None:
    head = DistanceHead()
    logits = head(torch.tensor([0.2, 1.2, 1.4142]))
    torch.testing.assert_close(logits, torch.tensor([5.0, 0.0, -1.071]), atol=1e-4, rtol=0)
    assert head.coefficients() == pytest.approx((5.0, 6.0), abs=1e-5)


@pytest.mark.parametrize("slope", [-20.0, 0.0, 20.0])
def test_nearer_never_becomes_less_likely(slope: float) -> None:
    head = DistanceHead()
    with torch.no_grad():
        head.slope.fill_(slope)
    near, far = head(torch.tensor([0.5, 1.5]))
    assert near >= far
