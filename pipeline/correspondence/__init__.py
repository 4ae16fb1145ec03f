"""The audio-visual correspondence task: which sound each frame is paired with, and whether that leaks."""
