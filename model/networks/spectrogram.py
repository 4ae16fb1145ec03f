"""Waveform to normalised log spectrogram, on the waveform's device and always in float32."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from ..settings import SpectrogramSettings

PCM_FULL_SCALE = 32768.0


def to_waveform(audio: Tensor) -> Tensor:
    """Return audio as float32 in [-1, 1): int16 PCM is scaled, floating point is taken to be in that range."""
    return audio.float().div_(PCM_FULL_SCALE) if audio.dtype == torch.int16 else audio.float()


def hz_to_mel(hertz: Tensor) -> Tensor:
    """Return mels: 3 per 200 Hz up to 1 kHz, then 27 per factor of 6.4 (Slaney, Auditory Toolbox, 1998)."""
    logarithmic = 15.0 + 27.0 * torch.log(hertz.clamp(min=1000.0) / 1000.0) / torch.log(torch.tensor(6.4))
    return torch.where(hertz < 1000.0, hertz * 3.0 / 200.0, logarithmic)


def mel_to_hz(mels: Tensor) -> Tensor:
    """Return hertz; the inverse of `hz_to_mel`."""
    return torch.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels.clamp(min=15.0) - 15.0) / 27.0))


def mel_filterbank(settings: SpectrogramSettings) -> Tensor:
    """Return triangular filters (mel_bins, window // 2 + 1) with peak 1, from 0 Hz to half the sample rate.

    The corners are equally spaced in mels; a filter falls to 0 at the centres of its neighbours.
    Raises ModelError if a filter is so narrow that it covers no bin of the Fourier transform.
    """
    nyquist = settings.sample_rate / 2
    bins = torch.linspace(0.0, nyquist, settings.points // 2 + 1)
    top = hz_to_mel(torch.tensor(nyquist)).item()
    corners = mel_to_hz(torch.linspace(0.0, top, settings.mel_bins + 2))
    rise = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    filters = torch.minimum(rise, fall).clamp_(min=0.0)
    empty = int((filters.sum(dim=1) == 0).sum())
    if empty:
        raise ModelError(
            f"{empty} of {settings.mel_bins} mel bands cover no frequency bin of a {settings.points}-sample window "
            f"at {settings.sample_rate} Hz; use fewer model.spectrogram.mel_bins or a longer window"
        )
    return filters


class Spectrogram(nn.Module):
    """Log power spectrogram, normalised by one mean and one deviation of the data set.

    257 x 98 for 1 s at the defaults (Chen et al., VGGSound, 2020, section 5: 16 kHz, window 512, hop 159). The mean
    and the deviation come from `calibrate` and are saved with the weights: normalising each sample by its own
    would delete loudness.
    """

    window: Tensor
    filters: Tensor | None
    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: SpectrogramSettings) -> None:
        super().__init__()
        self.settings = settings
        with torch.device("cpu"):  # where the shapes of a network are asked for alone, the filters are computed
            filters = mel_filterbank(settings) if settings.mel_bins else None
        # The window lies in the middle of the transform, and zeros to both sides of it.
        self.filling = (settings.points - settings.window) // 2, -(-(settings.points - settings.window) // 2)
        window = functional.pad(torch.hann_window(settings.window), self.filling)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def forward(self, audio: Tensor) -> Tensor:
        """Return (B, 1, F, T) float32 for audio (B, N), int16 or floating point in [-1, 1].

        F = mel_bins or transform // 2 + 1; T = 1 + (N - window) // hop, no window reaches past the ends.
        """
        return self._log_power(audio).sub_(self.mean).div_(self.deviation).unsqueeze(1)

    @torch.no_grad()
    def calibrate(self, audio: Tensor) -> None:
        """Set mean and deviation to those of audio (B, N), a sample of the training data."""
        log_power = self._log_power(audio)
        self.mean.copy_(log_power.mean())
        self.deviation.copy_(log_power.std().clamp(min=1e-3))  # silence alone has no deviation

    def _log_power(self, audio: Tensor) -> Tensor:
        settings = self.settings
        if audio.shape[-1] < settings.window:
            raise ModelError(f"audio has {audio.shape[-1]} samples, less than one window of {settings.window}")
        with torch.autocast(audio.device.type, enabled=False):
            waveform = to_waveform(audio)
            # Power, not density: full scale is 1, so the default epsilon of 1e-7 lies just above the noise of 16-bit
            # rounding (1 / 32768**2 / 12 * sum(window**2) = 1.5e-8). On scipy's density scale, which VGGSound's code
            # uses, the same epsilon would hide white noise below -31 dB of full scale.
            power = self._power(functional.pad(waveform, self.filling) if any(self.filling) else waveform)
            if self.filters is not None:
                power = self.filters @ power
            return power.add_(settings.epsilon).log_()

    def _power(self, waveform: Tensor) -> Tensor:
        """Return the power (B, bins, T) of each window of a waveform (B, N)."""
        settings = self.settings
        spectrum = torch.stft(
            waveform, settings.points, settings.hop, window=self.window, center=False, return_complex=True
        )
        return torch.view_as_real(spectrum).square().sum(dim=-1)


class ProductSpectrogram(Spectrogram):
    """The same by one matrix product in float64 instead of a fast Fourier transform, for programs that lack a good one.

    onnxruntime's STFT errs so much where the window is no power of two that the silent bins beside a pure tone fill up:
    an embedding then differed by 0.012. In float32 a product errs more than a fast transform does, too.
    """

    basis: Tensor

    def __init__(self, original: Spectrogram) -> None:
        super().__init__(original.settings)
        points = self.settings.points
        bins, samples = torch.arange(points // 2 + 1), torch.arange(points)
        angle = 2.0 * torch.pi * (bins * samples[:, None] % points).double() / points
        waves = torch.cat([angle.cos(), angle.sin()], dim=1) * self.window.double()[:, None]
        self.register_buffer("basis", waves, persistent=False)
        self.load_state_dict(original.state_dict())

    def _power(self, waveform: Tensor) -> Tensor:
        parts = waveform.double().unfold(-1, self.settings.points, self.settings.hop) @ self.basis
        real, imaginary = parts.chunk(2, dim=-1)
        return (real.square() + imaginary.square()).float().transpose(1, 2)
