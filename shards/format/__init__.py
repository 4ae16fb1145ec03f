"""The bytes of the format: one clip, one archive."""
