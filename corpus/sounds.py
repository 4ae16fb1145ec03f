"""Synthesise sounds: float32 waveforms at 16 kHz, mono, about -1..1.

A struck thing is a sum of damped modes, a string a Karplus-Strong loop, a motor or a voice a wavetable read at a
varying rate, weather and machines shaped noise. One-shots are made a few times a clip and placed at each event.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

SAMPLE_RATE = 16000
CLIP_SECONDS = 10.0
CLIP_SAMPLES = int(SAMPLE_RATE * CLIP_SECONDS)
_TABLE_SIZE = 2048
_NOISE_SAMPLES = 1 << 15

Wave = np.ndarray


def ticks(seconds: float) -> np.ndarray:
    """Return the sample times of `seconds` of sound, float32 seconds."""
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def silence() -> Wave:
    """Return a whole clip of silence to place sounds in."""
    return np.zeros(CLIP_SAMPLES, np.float32)


def place(track: Wave, sound: Wave, time_seconds: float, gain: float = 1.0) -> None:
    """Add a sound to a track from a time on; what lies outside the track is dropped."""
    start = round(time_seconds * SAMPLE_RATE)
    skip = max(0, -start)
    stop = min(len(track), start + len(sound))
    if stop > start + skip:
        track[start + skip : stop] += gain * sound[skip : stop - start]


def modes(
    frequencies: Sequence[float] | np.ndarray,
    decays_seconds: Sequence[float] | np.ndarray,
    gains: Sequence[float] | np.ndarray,
    seconds: float,
) -> Wave:
    """Sum damped sines: what a struck membrane, bar, plate or bell does. A decay is the time to fall by 60 dB."""
    time = ticks(seconds)
    total = np.zeros(len(time), np.float32)
    for frequency, decay, gain in zip(frequencies, decays_seconds, gains, strict=True):
        if frequency < SAMPLE_RATE / 2 - 200:
            length = min(len(time), int(decay * SAMPLE_RATE) + 1)
            span = time[:length]
            total[:length] += gain * np.sin(np.float32(math.tau * frequency) * span) * np.exp(span * (-6.9 / decay))
    return total


def sweep(frequencies: np.ndarray, harmonics: Sequence[float] | np.ndarray = (1.0,)) -> Wave:
    """Sound a tone whose frequency (Hz, one value a sample) varies; `harmonics` are the amplitudes of 1f, 2f, ..."""
    table = _table(tuple(float(gain) for gain in harmonics))
    # The phase is summed in double precision: single would drift by an audible part of a turn in ten seconds.
    phase = np.cumsum(frequencies, dtype=np.float64) * (_TABLE_SIZE / SAMPLE_RATE)
    wave: Wave = table[phase.astype(np.int64) & (_TABLE_SIZE - 1)]
    return wave


@lru_cache(maxsize=64)
def _table(harmonics: tuple[float, ...]) -> Wave:
    """Return one period of a sum of harmonics."""
    turns = np.arange(_TABLE_SIZE) / _TABLE_SIZE
    period = sum(gain * np.sin(math.tau * (order + 1) * turns) for order, gain in enumerate(harmonics))
    return np.asarray(period, np.float32)


def noise(rng: np.random.Generator, low_hz: float, high_hz: float, seconds: float = CLIP_SECONDS) -> Wave:
    """Make noise between two frequencies with soft edges, of unit RMS; beyond two seconds it repeats without a seam."""
    length = round(seconds * SAMPLE_RATE)
    size = min(_NOISE_SAMPLES, 1 << max(4, (length - 1).bit_length()))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32) + 1e-3
    shape = 1 / (1 + (low_hz / frequencies) ** 4) / (1 + (frequencies / high_hz) ** 4)
    bins = rng.standard_normal((2, len(shape)), dtype=np.float32) * shape
    wave = np.fft.irfft(bins[0] + 1j * bins[1], size).astype(np.float32)
    wave /= np.sqrt(np.mean(wave * wave)) + 1e-9
    return np.resize(wave, length)


def burst(rng: np.random.Generator, low_hz: float, high_hz: float, decay_seconds: float) -> Wave:
    """Make a noise burst that starts at once and decays: a click, a splash, a thud's slap."""
    wave = noise(rng, low_hz, high_hz, decay_seconds)
    return wave * np.exp(ticks(decay_seconds) * (-6.9 / decay_seconds))


def pluck(rng: np.random.Generator, frequency: float, seconds: float, brightness: float = 0.5) -> Wave:
    """Pluck a string: a noise-filled delay line with a low-pass loop (Karplus and Strong, CMJ 7(2), 1983)."""
    period = SAMPLE_RATE / frequency
    length = max(2, int(period - 0.5))
    loop = rng.uniform(-1, 1, length + 1).astype(np.float32)
    for _ in range(round(4 * (1 - brightness))):
        loop = 0.5 * (loop + np.roll(loop, 1))
    loop -= loop.mean()
    rounds = round(seconds * SAMPLE_RATE / length) + 1
    out = np.empty((rounds, length), np.float32)
    loss = 10 ** (-3 * period / SAMPLE_RATE / max(0.3, seconds))
    last = loop[-1]
    current = loop[:length]
    for turn in range(rounds):
        out[turn] = current
        shifted = np.empty_like(current)
        shifted[0], shifted[1:] = last, current[:-1]
        last = current[-1]
        current = (0.5 * loss) * (current + shifted)
    wave: Wave = out.reshape(-1)
    normal: Wave = wave / (np.abs(wave[: 4 * length]).max() + 1e-9)
    return normal


def voiced(frequencies: np.ndarray, formants: Sequence[tuple[float, float, float]]) -> Wave:
    """Sound a throat: a pulse train at `frequencies` (Hz a sample) through resonances (centre, width in Hz, gain)."""
    source = sweep(frequencies, [0.85**order for order in range(24)])
    bins = np.fft.rfft(source)
    axis = np.fft.rfftfreq(len(source), 1 / SAMPLE_RATE)
    shape = sum(gain / (1 + ((axis - centre) / width) ** 2) for centre, width, gain in formants)
    return np.fft.irfft(bins * shape, len(source)).astype(np.float32)


def steps(points: Sequence[tuple[float, float]], length: int = CLIP_SAMPLES) -> np.ndarray:
    """Return a curve through (seconds, value) points, one float32 value a sample."""
    coarse = np.arange(0, length + 160, 160)
    times, values = zip(*points, strict=True)
    knots = np.interp(coarse / SAMPLE_RATE, times, values)
    curve: Wave = np.interp(np.arange(length), coarse, knots).astype(np.float32)
    return curve


def fade(wave: Wave, attack_seconds: float, release_seconds: float) -> Wave:
    """Return the sound with a linear start and end."""
    attack, release = round(attack_seconds * SAMPLE_RATE), round(release_seconds * SAMPLE_RATE)
    out = wave.copy()
    out[:attack] *= np.linspace(0, 1, attack, dtype=np.float32)
    out[len(out) - release :] *= np.linspace(1, 0, release, dtype=np.float32)
    return out


def reverberate(rng: np.random.Generator, wave: Wave, seconds: float, share: float) -> Wave:
    """Add a room: a sparse sequence of echoes of random sign ("velvet noise") that decays by 60 dB in `seconds`."""
    out = wave.copy()
    delays = np.sort(rng.uniform(0.008, 0.7 * seconds, 22))
    for delay in delays:
        shift = int(delay * SAMPLE_RATE)
        gain = share * rng.choice((-1, 1)) * 10 ** (-3 * delay / seconds)
        out[shift:] += np.float32(gain) * wave[: len(wave) - shift]
    return out


def level(wave: Wave) -> float:
    """Return the RMS of a sound's louder half: how loud it is while it sounds."""
    power = np.mean(wave[: len(wave) // 320 * 320].reshape(-1, 320) ** 2, axis=1)
    return float(np.sqrt(np.mean(np.sort(power)[len(power) // 2 :])) + 1e-9)
