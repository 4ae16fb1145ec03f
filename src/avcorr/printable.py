"""Text from files made fit to be printed or drawn: nothing in it that moves a cursor, turns a line round or hides."""

import re

_ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, marks that change the direction of writing or cannot be seen, lone surrogates. The joiners
U+200C and U+200D are none of these: Persian words and emoji are made with them."""


def printable(text: str, most: int = 2000) -> str:
    """Return a text as one line, with what would act instead of being seen as JSON escapes it.

    Args:
        most: characters; of a longer text only the beginning is looked at, and `…` stands for the rest.
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isprintable() else _ACTING.sub(_escape, cut)


def printable_lines(text: str) -> str:
    """Return a text, whole, with its lines made printable."""
    return text if text.isprintable() else "\n".join(printable(line, len(line)) for line in text.split("\n"))


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
