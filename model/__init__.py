"""Two-tower audio-visual correspondence model: towers, objectives, training, evaluation and report."""
