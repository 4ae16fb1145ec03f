"""From a path or an address to the store behind it: open_store("data/shards"), open_store("s3://bucket/prefix")."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import StoreError
from ..store import Patience, Root, Store
from .local import LocalStore

REMOTE = ("s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https")
"""Schemes of addresses that are no local files."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder on a local disk for what was fetched from remote stores; many processes may share it."""

    folder: Path
    limit: int
    """Bytes of all it keeps."""


def is_remote(root: str | Path) -> bool:
    """Return whether an address names an object store or an HTTP server."""
    return isinstance(root, str) and urlsplit(root).scheme in REMOTE and "://" in root


def open_store(root: Root, *, patience: Patience | None = None, cache: Cache | None = None) -> Store:
    """Return the store behind a path or an address; nothing is opened or asked yet.

    Args:
        root: a path, file://PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, http(s)://HOST/PATH;
            a store is returned as it is.
        patience: how long a remote store is waited for.
        cache: before a remote store; local files need none.

    Raises:
        StoreError: when the address has another scheme or is not complete.
    """
    if not isinstance(root, str | Path):
        return root
    parts = urlsplit(str(root))
    if isinstance(root, Path) or "://" not in root:
        if parts.scheme in REMOTE and str(root).startswith(f"{parts.scheme}:/"):
            raise StoreError(f"{root} is an address that was taken for a path; give it as a text, with ://")
        return LocalStore(Path(root))
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise StoreError(f"{root} names a file on another host; write file:///{parts.netloc}{parts.path}")
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme not in REMOTE:
        known = ", ".join(f"{scheme}://" for scheme in ("file", *REMOTE))
        raise StoreError(f"{root} begins with {parts.scheme}://; shards are read from a path, {known}")
    if not parts.netloc:
        raise StoreError(f"{root} names no {'host' if parts.scheme.startswith('http') else 'bucket'}")
    if parts.query or parts.fragment:
        raise StoreError(f"{root} has a query; give the plain address of the folder that holds .avcorr/")
    from .remote import RemoteStore

    store = RemoteStore(root, patience or Patience())
    if cache is None:
        return store
    from .cache import CachedStore
    from .space import Space

    return CachedStore(store, Space(cache.folder, cache.limit))
