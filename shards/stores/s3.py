"""Amazon S3, and every server that speaks it."""

import os
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .client import Service


def _connect(address: str, options: Any, retry: Any) -> Any:
    from obstore.store import from_url

    config: Any = {"aws_disable_bulk_delete": "true", **_profile()}
    options["allow_http"] |= config.get("aws_endpoint", "").startswith("http://")
    return from_url(address, config=config, client_options=options, retry_config=retry)


def _profile() -> dict[str, str]:
    """Return what the environment lacks and the files of the AWS command line have: keys, region, endpoint."""
    import configparser

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
        for key in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
            if known.get(key):
                found[key] = known[key]
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & environment.keys() and known.get("region"):
        found["aws_region"] = known["region"]
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or (
        "" if "AWS_ENDPOINT_URL" in environment else known.get("endpoint_url", "")
    )
    if endpoint:
        found["aws_endpoint"] = endpoint
    return found


S3 = Service(
    schemes=("s3", "s3a"),
    credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    public="AWS_SKIP_SIGNATURE=true",
    elsewhere="AWS_ENDPOINT_URL where the store is not Amazon's",
    endpoints=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    connect=_connect,
)
