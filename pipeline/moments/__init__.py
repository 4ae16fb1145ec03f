"""Random access to moments of clips: a frame, a window of sound, at any time, in any order."""
