"""Hold what other loaders read against the index: nothing but `verify` would see that it is out of date."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..errors import MissingBucketError, MissingObjectError, StoreAccessError, StoreError
from ..exports.dali import FOLDER as DALI
from ..exports.dali import dali_path, encode_dali
from ..exports.dataset_card import CARD, check_card
from ..exports.energon import FOLDER as ENERGON
from ..exports.energon import encode_edges, energon_checks
from ..exports.wids import wids_checks
from ..index.clip_table import Table
from ..index.layout import INDEX
from ..index.record import ShardEntry
from ..store import Store
from .problem import Problem

_MOST, _MOST_A_CLIP = 1 << 20, 4096
"""Bytes that a file for another loader has at most, and more for each clip; energon's database has about 500."""


class Others(NamedTuple):
    """For which loaders, beside wids and Hugging Face, a dataset has files; each then has to have all of its files."""

    energon: bool = False
    dali: bool = False


def find_others(names: Sequence[str]) -> Others:
    """Return for whom there are files among the paths of a dataset. Where nothing can be listed, nothing is found."""
    return Others(
        energon=any(name.startswith(f"{ENERGON}/") or name.endswith(".tar.idx") for name in names),
        dali=any(name.startswith(f"{INDEX}/{DALI}/") for name in names),
    )


def audit_exports(
    store: Store, names: Sequence[str], entries: Sequence[ShardEntry], others: Others, *, full: bool
) -> Iterator[Problem]:
    """Yield what is wrong with the files that tell of all shards at once.

    Args:
        store: where the dataset lies.
        names: the paths of its files; empty where they cannot be listed.
        entries: its shards, as their records have them.
        others: as `find_others` gives them.
        full: compare databases row by row with the tables, which have to be sound.
    """
    checks = wids_checks(names, entries)
    if entries:
        checks[CARD] = partial(check_card, entries)
    if others.energon:
        checks |= energon_checks(store, entries, full=full)
    most = _MOST + _MOST_A_CLIP * sum(entry.clips for entry in entries)
    for path, check in checks.items():
        yield from _look_at(store, path, check, most)


def audit_shard_exports(store: Store, shard: str, table: Table, others: Others) -> Iterator[Problem]:
    """Yield what is wrong with the files that tell of one shard, whose table is sound."""
    wanted: dict[str, bytes] = {}
    if others.energon:
        wanted[f"{shard}.idx"] = encode_edges(table)
    if others.dali:
        wanted[dali_path(shard)] = encode_dali(table)
    for path, data in wanted.items():
        yield from _look_at(store, path, partial(_compare, data), _MOST + len(data))


def _compare(wanted: bytes, found: bytes) -> str:
    return "" if found == wanted else "is not what the shard's table says"


def _look_at(store: Store, path: str, check: Callable[[bytes], str], most: int) -> Iterator[Problem]:
    try:
        text = check(store.read(path, most))
    except MissingObjectError:
        text = "is not there"
    except (StoreAccessError, MissingBucketError):
        raise
    except (StoreError, OSError) as error:
        text = f"cannot be read ({error})"
    if text:
        yield Problem(path, "export", text)
