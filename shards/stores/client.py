"""The obstore client of an address: credentials where their owners keep them, one client a process."""

import base64
import configparser
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import StoreError
from ..store import Patience
from .faults import credentials_of

_used_by = 0
"""The process that has opened a client; a child of its own would inherit a runtime without its threads."""


def open_client(url: str, patience: Patience, *, writing: bool = False) -> Any:
    """Return a new obstore client, rooted at the address.

    Args:
        url: s3, gs, az, http or https.
        patience: gives the timeouts. A read as a whole has an hour: obstore's default of 30 seconds would cut every
            large shard.
        writing: parts are sent, which may take minutes without an answer, and the client itself repeats them. What
            is read is resumed by our own hand.

    Raises:
        StoreError: when the address cannot be used, or in a child of a process that has opened a client.
    """
    global _used_by
    if _used_by not in (0, os.getpid()):
        raise StoreError(
            f"{without_password(url)} was read before this process was forked, and the client cannot live on in a "
            'child; start workers with multiprocessing_context="forkserver" or "spawn"'
        )
    _used_by = os.getpid()
    import obstore.store as clients
    from obstore.exceptions import BaseError

    config: Any = {"aws_disable_bulk_delete": "true", **_profile()} if url.startswith("s3") else None
    options: Any = {
        "timeout": timedelta(minutes=2 if writing else 60),
        "connect_timeout": timedelta(seconds=patience.connect_seconds),
        "allow_http": urlsplit(url).scheme == "http" or _plain_endpoint(config or {}),
    }
    if not writing:
        options["read_timeout"] = timedelta(seconds=patience.stall_seconds)
    retry: Any = {"max_retries": 4 if writing else 0, "retry_timeout": timedelta(minutes=10)}
    try:
        if url.startswith("http"):
            plain, options["default_headers"] = _sign_in(url)
            return clients.HTTPStore.from_url(plain, client_options=options, retry_config=retry)
        return clients.from_url(url, config=config, client_options=options, retry_config=retry)
    except (BaseError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise StoreError(f"{without_password(url)} cannot be used: {said}; check {credentials_of(url)}") from error


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else url


def _sign_in(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without user and password, and the header that carries them."""
    parts = urlsplit(url)
    if parts.password is None:
        return url, {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return without_password(url), {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def client_errors() -> tuple[type[Exception], ...]:
    """Return what a client raises where the store or the network fails."""
    from obstore.exceptions import BaseError

    return BaseError, FileNotFoundError


def _plain_endpoint(config: Mapping[str, str]) -> bool:
    """Return whether an endpoint without TLS was named on purpose."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
    named = [config.get("aws_endpoint", ""), *(os.environ.get(name, "") for name in names)]
    return any(endpoint.startswith("http://") for endpoint in named)


def _profile() -> dict[str, str]:
    """Return what the environment lacks and the files of the AWS command line have: keys, region, endpoint."""
    environment = os.environ
    name = environment.get("AWS_PROFILE", "default")
    secrets, config = configparser.ConfigParser(), configparser.ConfigParser()
    home = Path.home() / ".aws"
    try:
        secrets.read(environment.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"))
        config.read(environment.get("AWS_CONFIG_FILE", home / "config"))
    except configparser.Error as error:
        raise StoreError(f"the AWS configuration cannot be read: {str(error).splitlines()[0]}") from error
    known = dict(config.items(name)) if config.has_section(name) else {}
    if config.has_section(f"profile {name}"):
        known = dict(config.items(f"profile {name}"))
    if secrets.has_section(name):
        known |= dict(secrets.items(name))
    found: dict[str, str] = {}
    if "AWS_ACCESS_KEY_ID" not in environment and "aws_access_key_id" in known:
        for option, key in (
            ("aws_access_key_id", "aws_access_key_id"),
            ("aws_secret_access_key", "aws_secret_access_key"),
            ("aws_session_token", "aws_session_token"),
        ):
            if known.get(option):
                found[key] = known[option]
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & environment.keys() and known.get("region"):
        found["aws_region"] = known["region"]
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or (
        "" if "AWS_ENDPOINT_URL" in environment else known.get("endpoint_url", "")
    )
    if endpoint:
        found["aws_endpoint"] = endpoint
    return found
