"""Learn what sight and sound have in common, from sharded video."""

__version__ = "0.2.0"
