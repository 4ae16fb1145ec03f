"""Files behind an HTTP server that answers ranges; there is no listing."""

import base64
from typing import Any
from urllib.parse import unquote, urlsplit

from .client import Service, without_password


def _connect(address: str, options: Any, retry: Any) -> Any:
    from obstore.store import HTTPStore

    parts = urlsplit(address)
    if parts.password is not None:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        options["default_headers"] = {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        address = without_password(address)
    return HTTPStore.from_url(address, client_options=options, retry_config=retry)


HTTP = Service(
    schemes=("http", "https"),
    credentials="the user and password in the address, https://USER:PASSWORD@HOST",
    public="no user in the address",
    elsewhere="the host",
    connect=_connect,
    place="host",
    lists=False,
)
