"""Spectrogram: sizes, values against a plain numpy transform, mel filters by hand, calibration."""

import numpy as np
import pytest
import torch

from avcorr.model.errors import ModelError
from avcorr.model.networks.spectrogram import ProductSpectrogram, Spectrogram, hz_to_mel, mel_filterbank, mel_to_hz
from avcorr.model.settings import SpectrogramSettings


def noise(items: int, samples: int) -> torch.Tensor:
    values = np.random.default_rng(0).normal(0.0, 3000.0, (items, samples))
    return torch.from_numpy(values.astype(np.int16))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (SpectrogramSettings(), (2, 1, 257, 98)),
        (SpectrogramSettings(mel_bins=64, hop=320), (2, 1, 64, 49)),
        (SpectrogramSettings(mel_bins=128, hop=160), (2, 1, 128, 97)),
    ],
)
def test_one_second_has_the_documented_size(settings: SpectrogramSettings, shape: tuple[int, ...]) -> None:
    assert Spectrogram(settings)(noise(2, 16000)).shape == shape


def test_values_equal_a_plain_fourier_transform() -> None:
    settings = SpectrogramSettings(window=64, hop=24)
    audio = noise(1, 200)
    # The periodic Hann window, as scipy.signal.get_window("hann") gives it.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    waveform = audio[0].numpy() / 32768.0
    columns = [np.abs(np.fft.rfft(window * waveform[start : start + 64])) ** 2 for start in range(0, 200 - 63, 24)]
    expected = np.log(np.stack(columns, axis=1) + 1e-7)
    result = Spectrogram(settings)(audio)[0, 0].numpy()
    assert result.shape == expected.shape == (33, 6)
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_a_tone_lies_in_its_bin_and_doubling_it_adds_the_log_of_four() -> None:
    tone = torch.sin(2 * torch.pi * 1000.0 * torch.arange(16000) / 16000)[None]
    spectrogram = Spectrogram(SpectrogramSettings())
    quiet, loud = spectrogram(0.25 * tone)[0, 0], spectrogram(0.5 * tone)[0, 0]
    assert (quiet.argmax(dim=0) == 32).all()  # 1000 Hz / (16000 Hz / 512)
    torch.testing.assert_close(loud[32] - quiet[32], torch.full((98,), 4.0).log(), atol=1e-4, rtol=0)


def test_mel_scale_has_its_published_anchors() -> None:
    hertz = torch.tensor([0.0, 440.0, 1000.0, 6400.0])
    torch.testing.assert_close(hz_to_mel(hertz), torch.tensor([0.0, 6.6, 15.0, 42.0]))
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hertz)), hertz)


def test_mel_filters_equal_values_worked_by_hand() -> None:
    # Half of 8 kHz is 35.164 mel, so the corners are 0, 11.721, 23.442 and 35.164 mel = 0, 781.4, 1786.8 and 4000 Hz;
    # the bins lie at 0, 500, ..., 4000 Hz.
    filters = mel_filterbank(SpectrogramSettings(sample_rate=8000, window=16, hop=8, mel_bins=2))
    low = [0.0, 500 / 781.4, (1786.8 - 1000) / 1005.4, (1786.8 - 1500) / 1005.4, 0.0, 0.0, 0.0, 0.0, 0.0]
    torch.testing.assert_close(filters[0], torch.tensor(low), atol=2e-4, rtol=0)
    assert filters[1, 4].item() == pytest.approx((4000 - 2000) / (4000 - 1786.8), abs=2e-4)


def test_mel_bands_too_narrow_for_the_window_are_refused() -> None:
    with pytest.raises(ModelError, match="cover no frequency bin of a 512-sample window"):
        mel_filterbank(SpectrogramSettings(mel_bins=257))


def test_calibration_gives_mean_zero_and_deviation_one_and_keeps_loudness() -> None:
    audio = noise(4, 16000)
    audio[2:] //= 10
    spectrogram = Spectrogram(SpectrogramSettings(mel_bins=64))
    spectrogram.calibrate(audio)
    result = spectrogram(audio)
    assert result.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert result.std().item() == pytest.approx(1.0, abs=1e-3)
    assert result[:2].mean() > result[2:].mean() + 1.0


@pytest.mark.parametrize("values", [{}, {"window": 640, "hop": 320, "mel_bins": 32}, {"window": 160, "transform": 512}])
def test_a_product_is_exact_even_beside_a_pure_tone(values: dict[str, int]) -> None:
    """Against a transform in float64: float32 fills the silent bins with its rounding."""
    settings = SpectrogramSettings.model_validate({"hop": 80, **values})
    time = torch.arange(16000) / 16000
    audio = torch.stack([torch.sin(2 * torch.pi * hertz * time) * 20000 for hertz in (441.0, 3000.5)]).to(torch.int16)
    original = Spectrogram(settings)
    padded = torch.nn.functional.pad(audio.double() / 32768, original.filling)
    window = original.window.double()
    spectrum = torch.stft(padded, settings.points, settings.hop, window=window, center=False, return_complex=True)
    power = spectrum.abs().square()
    power = power if original.filters is None else original.filters.double() @ power
    expected = (power + settings.epsilon).log().float()[:, None]
    torch.testing.assert_close(ProductSpectrogram(original)(audio), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(original(audio), expected, atol=0.05, rtol=0)


def test_silence_stays_finite() -> None:
    silence = torch.zeros(2, 16000, dtype=torch.int16)
    spectrogram = Spectrogram(SpectrogramSettings())
    spectrogram.calibrate(silence)
    assert spectrogram(silence).isfinite().all()


def test_stays_in_float32_under_autocast() -> None:
    spectrogram = Spectrogram(SpectrogramSettings(mel_bins=64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = spectrogram(noise(1, 16000))
    torch.testing.assert_close(lowered, spectrogram(noise(1, 16000)), atol=0, rtol=0)


def test_audio_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(ModelError, match="100 samples, less than one window of 512"):
        Spectrogram(SpectrogramSettings())(noise(1, 100))
