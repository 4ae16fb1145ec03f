"""Operations of a pair, against sums worked by hand, and the peaks of devices."""

import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.settings import ModelSettings, SpectrogramSettings
from avcorr.model.training.flops import Cost, forward_flops, pair_cost, peak_by_name

SECOND = SpectrogramSettings(window=160, hop=80, transform=512)  # 257 x 199
VGG = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]


def model_flops(architecture: str, spectrogram: SpectrogramSettings, **values: object) -> int:
    chosen = {"architecture": architecture, "spectrogram": spectrogram, **values}
    return forward_flops(build_model(ModelSettings.model_validate(chosen), 0), 224, 16000)


def subnet(first: int, *maps: int) -> int:
    """Return the operations of eight 3 x 3 convolutions, two on each map; `first` is the number of input channels."""
    layers = [(first, 64), *VGG[1:]]
    return sum(2 * 9 * inputs * outputs * maps[place // 2] for place, (inputs, outputs) in enumerate(layers))


def test_avenets_operations_by_hand() -> None:
    image = subnet(3, 112 * 112, 56 * 56, 28 * 28, 14 * 14)
    sound = subnet(1, 129 * 100, 64 * 50, 32 * 25, 16 * 12)
    assert image / 2e9 == pytest.approx(2.56, abs=0.01)  # multiply-adds of the paper's subnet
    layers = 2 * 2 * (512 * 128 + 128 * 128) + 2 * 2  # fc1 and fc2 of both, and fc3
    assert model_flops("avenet", SECOND) == image + sound + layers


def test_l3nets_operations_by_hand() -> None:
    image = subnet(3, 224 * 224, 112 * 112, 56 * 56, 28 * 28)
    sound = subnet(1, 257 * 199, 128 * 99, 64 * 49, 32 * 24)
    assert (image + sound) / 2e9 == pytest.approx(10.26 + 10.21, abs=0.1)
    assert model_flops("l3net", SECOND) == image + sound + 2 * (1024 * 128 + 128 * 2)


def test_operations_of_the_papers_model() -> None:
    """3.63 for a frame of 224 pixels, and 2.07 for 257 x 98."""
    assert model_flops("resnet18", SpectrogramSettings()) / 1e9 == pytest.approx(5.70, abs=0.02)


def test_localising_costs_a_little_more_than_not() -> None:
    plain, localising = (model_flops("avenet", SECOND, localise=value) for value in (False, True))
    # fc1 and fc2 of the frame at 196 places instead of one, and a product of 128 numbers at each.
    assert localising - plain == 2 * 195 * (512 * 128 + 128 * 128) + 2 * 196 * 128 - 4


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A10G", None),
        ("Tesla T4", None),
    ],
)
def test_peaks_are_found_by_whole_words(name: str, peak: float | None) -> None:
    assert peak_by_name(name) == peak


def test_utilisation_is_left_out_where_no_peak_is_known() -> None:
    model = build_model(ModelSettings(width=8, spectrogram=SpectrogramSettings(mel_bins=64)), 0)
    cost = pair_cost(model, 64, 16000, torch.device("cpu"), torch.bfloat16)
    assert cost.peak is None and cost.utilisation(1000.0) == {}
    assert Cost(1e9, 300e12).utilisation(10_000) == {"flop_utilisation": pytest.approx(0.1)}


def test_counting_leaves_the_model_as_it_was() -> None:
    model = build_model(ModelSettings(width=8, spectrogram=SpectrogramSettings(mel_bins=64)), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward_flops(model, 64, 16000)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
