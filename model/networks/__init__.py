"""The networks that judge whether a sound belongs to a frame; one file an architecture."""
