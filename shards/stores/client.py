"""The obstore clients of a remote store, of their own in each process."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from avcorr.files import read_file

from ..errors import StoreError
from ..store import RetryPolicy
from .outage import Outage

_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Environment variables of other tools that name certificates; SSL_CERT_FILE and SSL_CERT_DIR the client reads."""
_MOST_CERTIFICATES = 1 << 24
_used_by = 0
"""The process that has opened a client; a child of its own would inherit a runtime without its threads."""


def connect_by_url(address: str, options: Any, retry: Any) -> Any:
    """Return the client that obstore has for an address, with the credentials that it finds itself."""
    from obstore.store import from_url

    return from_url(address, client_options=options, retry_config=retry)


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of remote store that obstore has a client for; each is described in a file of its own."""

    schemes: tuple[str, ...]
    """Of its addresses."""
    credentials: str
    """What a user sets to be let in, for messages."""
    public: str
    """What a user sets where nobody need be let in, for messages."""
    elsewhere: str
    """What a user checks where another provider runs such a store, for messages."""
    endpoints: tuple[str, ...] = ()
    """Environment variables that name a server; one that begins with http:// allows to go without TLS."""
    connect: Callable[[str, Any, Any], Any] = connect_by_url
    """Makes a client from address, options of its connections and bounds of its own retries."""
    place: str = "bucket"
    """What the first part of an address names."""
    lists: bool = True
    """Whether names can be listed and objects be written."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The clients of one store in one process, opened when they are first asked for.

    Args:
        service: the kind of store.
        address: of the folder in it; the clients are rooted there.
        policy: gives the timeouts.
        outage: what is known of the server.
    """

    service: Service
    address: str
    policy: RetryPolicy
    outage: Outage = field(default_factory=Outage)
    _clients: dict[tuple[bool, float], Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address, for messages."""
        return without_password(self.address)

    def client(self, *, writing: bool = False, seconds: float = 3600) -> Any:
        """Return an obstore client.

        Args:
            writing: parts are sent, which may take minutes without an answer, and the client itself repeats them. What
                is read is repeated by `Retries`.
            seconds: how long one answer may take as a whole; obstore's default of 30 would cut every large shard.

        Raises:
            StoreError: when the address cannot be used, or in a child of a process that has opened a client.
        """
        client = self._clients.get((writing, seconds))
        if client is None:
            client = self._clients[writing, seconds] = self._open(writing, seconds)
        return client

    def renew(self) -> None:
        """Drop the clients, so that the next ones read the credentials again."""
        self._clients.clear()

    def _open(self, writing: bool, seconds: float) -> Any:
        global _used_by
        if _used_by not in (0, os.getpid()):
            raise StoreError(
                f"{self.url} was read before this process was forked, and the client cannot live on in a child; "
                'start workers with multiprocessing_context="forkserver" or "spawn"'
            )
        _used_by = os.getpid()
        from obstore.exceptions import BaseError

        named = [urlsplit(self.address).geturl()]
        for name in self.service.endpoints:
            if (value := os.environ.get(name)) is not None:
                named.append(check_endpoint(name, value))
        options: dict[str, Any] = {
            "timeout": timedelta(seconds=120 if writing else seconds),
            "connect_timeout": timedelta(seconds=self.policy.connect_seconds),
            "allow_http": any(endpoint.startswith("http://") for endpoint in named),
        }
        if roots := b"".join(read_certificates(name, os.environ.get(name, "")) for name in _BUNDLES):
            options["root_certificate"] = roots
        if not writing:
            options["read_timeout"] = timedelta(seconds=self.policy.stall_seconds)
        retry: Any = {"max_retries": 4 if writing else 0, "retry_timeout": timedelta(minutes=10)}
        try:
            return self.service.connect(self.address, options, retry)
        except (BaseError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{self.url} cannot be used: {reason}; check {self.service.credentials}") from error


def without_password(address: str) -> str:
    """Return an address as it may be shown."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else address


def check_endpoint(name: str, value: str) -> str:
    """Return the address of a server. Raises StoreError where it is none: the client would die of it.

    Args:
        name: what names it, for messages.
    """
    if not value.startswith(("http://", "https://")) or not urlsplit(value).hostname:
        raise StoreError(f"{name}={value!r} is no address of a server; write it as https://HOST, or unset it")
    return value


def read_certificates(name: str, place: str) -> bytes:
    """Return the certificates (PEM) of a file or of a folder's files; none for no place.

    Args:
        name: what names the place, for messages.

    Raises:
        StoreError: when there are none.
    """
    if not place:
        return b""
    path = Path(place)
    try:
        files = [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
        found = [data for file in files if b"-----BEGIN CERT" in (data := read_file(file, _MOST_CERTIFICATES))]
    except OSError as error:
        raise StoreError(f"{name} names {place}, which cannot be read ({error.strerror})") from error
    if not found:
        raise StoreError(f"{name} names {place}, which holds no certificates (PEM)")
    return b"".join(data + b"\n" for data in found)


def client_errors() -> tuple[type[Exception], ...]:
    """Return what a client raises where the store or the network fails."""
    from obstore.exceptions import BaseError

    return BaseError, FileNotFoundError
