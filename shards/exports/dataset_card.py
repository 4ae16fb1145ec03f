"""The dataset card `README.md` at the root: for people, and for `datasets.load_dataset(root)`.

Its front matter names the shards of each split, so that other files beside them (energon's) are not taken for shards.
It does not name the tables as a second config: `datasets` has one builder a card, that of the first config's files.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from avcorr.files import write_atomically

from ..errors import MissingObjectError
from ..format import sound_codec
from ..index.facts import DatasetFacts, read_dataset
from ..index.layout import TABLES
from ..index.record import ShardEntry
from ..stores.local import LocalStore

CARD = "README.md"
_MOST = 1 << 24
"""Bytes of a card."""
MARKER = "<!-- written by avcorr at each packing; take this line out to keep your own changes -->"

_TEXT = """
# {title}

{clips} clips of video with sound, as WebDataset shards. A sample is three members of a tar:

| column | content |
|---|---|
| `json` | metadata: `key`, `video`, `label`, `start`, `duration`, `frame_times`, `frame_offsets`, `sample_rate`, ... |
| `{suffix}` | sound{rate}: {codec}; sample 0 lies at time 0 of the clip |
| `mjpg` | frames{frames}: JPEGs back to back; frame *i* is the bytes [`frame_offsets[i]`, `frame_offsets[i + 1]`) |

`frame_times[i]` is when frame *i* is shown, in seconds of the sound.

| split | shards | clips | hours | frames | GB |
|---|---|---|---|---|---|
{table}

```python
import datasets
dataset = datasets.load_dataset("PATH_OR_NAME", split="{split}", streaming=True)
```

The index, `{tables}/*.parquet`, has a row a clip with all of its `json`, its flags, and the offset and size of each
member in its tar. Of the clips that can be heard:

```python
import duckdb
duckdb.sql("select label, count(*) from '{tables}/{split}-*.parquet' where not silent group by label")
```

Rights in the videos stay with their owners; nothing is known here about a licence.
"""


def write_card(root: Path, entries: Sequence[ShardEntry]) -> bool:
    """Write the card; return False, and leave it alone, where there is one that is not ours."""
    with suppress(MissingObjectError):
        if MARKER.encode() not in LocalStore(root).read(CARD, _MOST):
            return False
    write_atomically(root / CARD, card((read_dataset(root) or DatasetFacts()).settings, entries).encode())
    return True


def check_card(entries: Sequence[ShardEntry], data: bytes) -> str:
    """Say what is wrong with a card, "" for nothing: front matter or table; the words around them may change."""
    text = data.decode(errors="replace")
    if MARKER not in text:
        return ""
    if f"---\n{_front_matter(entries)}---\n" not in text:
        return "names other splits than the dataset has"
    return "" if f"\n{_table(entries)}\n" in text else "has another table of the splits than the dataset"


def card(settings: Mapping[str, Any], entries: Sequence[ShardEntry]) -> str:
    """Return the card's text."""
    rate, frames, side = (settings.get(name) for name in ("sample_rate", "frames_per_second", "short_side"))
    text = _TEXT.format(
        title=settings.get("name", "Clips"),
        clips=f"{sum(entry.clips for entry in entries):,}",
        rate=f" at {rate} Hz" if rate else "",
        frames=f", up to {frames:g} a second, shorter side {side} pixels" if frames and side else "",
        table=_table(entries),
        split=next(iter(_splits(entries)), "train"),
        tables=TABLES,
        suffix=sound_codec.SUFFIX,
        codec=sound_codec.WORDS,
    )
    return f"---\n{_front_matter(entries)}---\n{MARKER}\n{text}"


def _splits(entries: Sequence[ShardEntry]) -> list[str]:
    return sorted({entry.split for entry in entries}, key=lambda split: (split != "train", split))


def _front_matter(entries: Sequence[ShardEntry]) -> str:
    data_files = [{"split": split, "path": f"{split}/*.tar"} for split in _splits(entries)]
    front = {
        "license": "unknown",
        "tags": ["webdataset", "video", "audio"],
        "configs": [{"config_name": "default", "data_files": data_files}],
    }
    return str(yaml.safe_dump(front, sort_keys=False))


def _table(entries: Sequence[ShardEntry]) -> str:
    return "\n".join(_row(split, [entry for entry in entries if entry.split == split]) for split in _splits(entries))


def _row(split: str, entries: Sequence[ShardEntry]) -> str:
    clips, frames = sum(entry.clips for entry in entries), sum(entry.frames for entry in entries)
    hours, size = sum(entry.seconds for entry in entries) / 3600, sum(entry.size for entry in entries) / 1e9
    return f"| {split} | {len(entries):,} | {clips:,} | {hours:,.2f} | {frames:,} | {size:,.3f} |"
