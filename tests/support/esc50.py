"""A folder laid out like ESC-50."""

import csv
from pathlib import Path

import numpy as np
import soundfile


def write_esc50(folder: Path, count: int = 20) -> Path:
    """Sounds of two classes, hum and hiss, of five seconds at 44.1 kHz, in five folds."""
    generator = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    (folder / "meta").mkdir()
    with (folder / "meta" / "esc50.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for number in range(count):
            kind = number // 5 % 2
            seconds = np.arange(5 * 44100) / 44100
            hum = np.sin(2 * np.pi * generator.uniform(100, 300) * seconds)
            hiss = generator.normal(size=len(seconds))
            name = f"{number % 5 + 1}-{number}-A-{kind}.wav"
            soundfile.write(folder / "audio" / name, 0.2 * (hiss if kind else hum), 44100)
            table.writerow([name, number % 5 + 1, kind, "hiss" if kind else "hum", False, number // 2, "A"])
    return folder
