"""What `verify` can find: a closed list of codes, and one thing that is wrong."""

from dataclasses import dataclass
from typing import Any

CODES = {
    "missing_shard": "the index has a shard that is not in the folder, or a number in the middle is not there at all",
    "extra_shard": "the folder has a tar that is not of the dataset; a loader would read it all the same",
    "missing_record": "a shard has no record in the index",
    "unfinished": "the records tell of fewer inputs than the dataset has",
    "no_clip": "all inputs failed",
    "unreadable": "a shard cannot be opened or read",
    "size": "a shard is longer or shorter than its record says",
    "end": "a shard was cut, or does not end in closing zeros to a multiple of 10,240 bytes",
    "checksum": "a shard's bytes are not those that its record was written for",
    "record": "a record is damaged or contradicts itself",
    "count": "a shard holds more or fewer clips than its record says",
    "table": "a shard's table is missing or damaged, or does not say what the shard holds",
    "manifest": "the manifest `index.json` is missing or damaged, or is not the sum of the records",
    "export": "what another loader reads (card, wids, energon, DALI) is missing, damaged or out of date",
    "ledger": "the ledger is not the sum of the records",
    "header": "a tar header is damaged, or is not the plain USTAR header of a regular file",
    "padding": "bytes between two members are not zero",
    "members": "a clip lacks a member, has one too many, or has them in another order",
    "not_adjacent": "a clip's members lie apart",
    "key": "a key breaks the grammar, or the metadata name another",
    "duplicate_key": "a key occurs twice; upper and lower case are one",
    "metadata": "the metadata are no JSON, lack a field, or have one of another type or range",
    "split": "the metadata name another split than the folder",
    "sound": "the sound's header or length is not what the metadata say",
    "frames": "the frame offsets do not span the frames",
    "times": "the frame times do not increase or lie outside the clip",
    "jpeg": "a frame is no single whole baseline JPEG of three components, or cannot be decoded",
    "jpeg_size": "a frame has another size than the metadata say",
    "work": "(information) something is left of an interrupted run; the next run takes it up",
}
"""Every code, with its meaning. Those whose meaning begins with (information) are no failure."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or that should be known."""

    path: str
    """Path of the file relative to the root, `.` for the dataset as a whole."""
    code: str
    """One of CODES."""
    message: str
    key: str = ""
    """The clip, where one is known."""

    @property
    def where(self) -> str:
        """Return path and key for people."""
        return f"{self.path} {self.key}" if self.key else self.path

    @property
    def is_failure(self) -> bool:
        """Whether the dataset is not as it should be."""
        return not CODES[self.code].startswith("(information)")

    def to_json(self) -> dict[str, Any]:
        """Return the problem as plain JSON types."""
        severity = "error" if self.is_failure else "information"
        return {
            "problem": self.code, "severity": severity, "path": self.path, "key": self.key, "message": self.message
        }  # fmt: skip
