"""The jinja environment of all pages."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


def environment(folder: str) -> Environment:
    """Return an environment that finds the templates of a folder of this room, and those that all pages share."""
    return Environment(
        loader=FileSystemLoader([HERE / folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
