"""From a path or an address to the store behind it: open_store("data/shards"), open_store("s3://bucket/prefix")."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import StoreError
from ..store import RetryPolicy, Root, Store
from .azure import AZURE
from .cache import Cache
from .cached_store import CachedStore, VersionedStore
from .gcs import GCS
from .http import HTTP
from .local import LocalStore
from .remote import RemoteStore
from .s3 import S3

OPENERS: dict[str, Callable[[str, RetryPolicy], VersionedStore]] = {
    scheme: partial(RemoteStore, service) for service in (S3, GCS, AZURE, HTTP) for scheme in service.schemes
}
"""What opens an address, by its scheme. Another service of obstore is one more in the tuple; a store of another kind is
a class with the methods of `VersionedStore`, and its line here."""


def open_store(root: Root, *, retry: RetryPolicy | None = None, cache: Cache | None = None) -> Store:
    """Return the store behind a path or an address; nothing is opened or asked yet.

    Args:
        root: a path, file://PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, http(s)://HOST/PATH;
            a store is returned as it is.
        retry: how long a remote store is waited for.
        cache: before a remote store; local files need none.

    Raises:
        StoreError: when the address has another scheme or is not complete.
    """
    if not isinstance(root, str | Path):
        return root
    parts = urlsplit(str(root))
    if isinstance(root, Path) or "://" not in root:
        if parts.scheme in OPENERS and str(root).startswith(f"{parts.scheme}:/"):
            raise StoreError(f"{root} is an address that was taken for a path; give it as a text, with ://")
        return LocalStore(Path(root))
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise StoreError(f"{root} names a file on another host; write file:///{parts.netloc}{parts.path}")
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme not in OPENERS:
        known = ", ".join(f"{scheme}://" for scheme in ("file", *OPENERS))
        raise StoreError(f"{root} begins with {parts.scheme}://; shards are read from a path, {known}")
    if parts.query or parts.fragment:
        plain = parts._replace(query="", fragment="").geturl()  # a query may be a signature, which is a secret
        raise StoreError(f"{plain} has a query; give the plain address of the folder that holds __index__/")
    store = OPENERS[parts.scheme](root, retry or RetryPolicy())
    return CachedStore(store, cache) if cache else store
