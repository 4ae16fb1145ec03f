"""Augmentation: ranges, determinism, what stays, and its values at known draws."""

import pytest
import torch

from avcorr.model.training.augment import Strength, augment_audio, augment_frames, mask_spectrogram, step_generator

CPU = torch.device("cpu")


def frames(items: int = 64, size: int = 16) -> torch.Tensor:
    return torch.randint(256, (items, size, size, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def audio(items: int = 64, samples: int = 400) -> torch.Tensor:
    values = torch.randint(-8000, 8000, (items, samples), generator=torch.Generator().manual_seed(2))
    return values.to(torch.int16)


@pytest.mark.parametrize("strength", ["none", "standard", "strong"])
def test_same_generator_same_result_and_input_untouched(strength: Strength) -> None:
    for source, augment in ((frames(), augment_frames), (audio(), augment_audio)):
        copy = source.clone()
        first = augment(source, strength, step_generator(3, 5, CPU))
        second = augment(source, strength, step_generator(3, 5, CPU))
        other = augment(source, strength, step_generator(3, 6, CPU))
        assert first.shape == source.shape
        assert torch.equal(first, second)
        assert torch.equal(source, copy)
        assert torch.equal(first, other) == (strength == "none")


@pytest.mark.parametrize("strength", ["standard", "strong"])
def test_frames_stay_in_range(strength: Strength) -> None:
    result = augment_frames(frames(), strength, step_generator(0, 0, CPU))
    assert result.dtype == torch.float32
    assert 0.0 <= result.min()
    assert result.max() <= 255.0


def test_standard_flips_about_half_of_the_frames() -> None:
    source = torch.zeros(400, 8, 8, 3, dtype=torch.uint8)
    source[:, :, 0] = 100  # a bright left edge
    result = augment_frames(source, "standard", step_generator(0, 0, CPU))
    right = (result[:, :, -1] > result[:, :, 0]).all(dim=(1, 2))
    left = (result[:, :, -1] < result[:, :, 0]).all(dim=(1, 2))
    assert (left ^ right).all()
    assert 150 < right.sum() < 250


def test_standard_scales_grey_by_brightness_only() -> None:
    grey = torch.full((200, 4, 4, 3), 100, dtype=torch.uint8)
    result = augment_frames(grey, "standard", step_generator(0, 0, CPU))
    # Saturation leaves grey grey; one factor in 0.6..1.4 per frame.
    level = result[:, :1, :1, :1]
    torch.testing.assert_close(result, level.expand_as(result), atol=0.05, rtol=0)
    assert 60.0 <= level.min() < 70.0
    assert 130.0 < level.max() <= 140.0


def test_gain_multiplies_whole_sounds() -> None:
    source = audio()
    ratio = augment_audio(source, "standard", step_generator(0, 0, CPU)) * 32768.0 / source
    gain = ratio.nanmedian(dim=1).values
    torch.testing.assert_close(ratio[source != 0], gain[:, None].expand_as(source)[source != 0], atol=1e-3, rtol=1e-3)
    assert 0.5 <= gain.min() < 0.6
    assert 1.4 < gain.max() <= 1.5


def test_strong_noise_stays_below_the_sound() -> None:
    source = torch.full((200, 4000), 8192, dtype=torch.int16)
    result = augment_audio(source, "strong", step_generator(0, 0, CPU))
    noise_decibels = 20 * torch.log10(result.std(dim=1) / result.mean(dim=1))
    assert -51.0 < noise_decibels.min()
    assert noise_decibels.max() < -19.0
    assert not augment_audio(torch.zeros_like(source), "strong", step_generator(0, 0, CPU)).any()


def test_masks_cover_one_band_and_one_span_of_at_most_a_fifth() -> None:
    masked = mask_spectrogram(torch.ones(100, 1, 40, 50), "strong", step_generator(0, 0, CPU))[:, 0] == 0
    bands, times = masked.all(dim=2), masked.all(dim=1)
    assert torch.equal(masked, bands[:, :, None] | times[:, None, :])
    for rows, length in ((bands, 40), (times, 50)):
        assert 0 < rows.sum(dim=1).max() <= 0.2 * length + 1
        edges = (rows[:, 1:] != rows[:, :-1]).sum(dim=1)
        assert edges.max() <= 2
    spectrogram = torch.ones(2, 1, 4, 4)
    assert mask_spectrogram(spectrogram, "standard", step_generator(0, 0, CPU)).all()
