"""Networks that decide whether a sound belongs to a frame; one file an architecture."""
