"""Amazon S3, and every server that speaks it."""

import os
from configparser import ConfigParser, Error
from datetime import timedelta
from pathlib import Path
from typing import Any

from avcorr.files import read_file

from ..errors import StoreAccessError, StoreError
from .client import Service, check_endpoint, read_certificates

_MOST = 1 << 20
_BY_BOTO = ("role_arn", "credential_process", "sso_session", "sso_start_url", "login_session")
"""What a profile may have in place of keys; boto3 knows how to get keys by it."""
_FRESH = timedelta(minutes=5)
"""How long keys from boto3 are used before it is asked again; it renews them 15 minutes before their end."""


def _connect(address: str, options: Any, retry: Any) -> Any:
    from obstore.store import from_url

    config: Any = {"aws_disable_bulk_delete": "true"}
    name, profile = _profile()
    environment = os.environ
    provider: Any = None
    if "AWS_ACCESS_KEY_ID" not in environment:
        ways = [way for way in _BY_BOTO if way in profile]
        if ways and ("role_arn" in profile or "aws_access_key_id" not in profile):
            provider = _from_boto(name, ways[0])
        elif "aws_access_key_id" in profile:
            keys = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
            config |= {key: profile[key] for key in keys if profile.get(key)}
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & environment.keys() and profile.get("region"):
        config["aws_region"] = profile["region"]
    if endpoint := environment.get("AWS_ENDPOINT_URL_S3"):
        config["aws_endpoint"] = endpoint
    elif "AWS_ENDPOINT_URL" not in environment and profile.get("endpoint_url"):
        config["aws_endpoint"] = check_endpoint(f"endpoint_url of the profile {name}", profile["endpoint_url"])
    options["allow_http"] |= config.get("aws_endpoint", "").startswith("http://")
    if roots := read_certificates(f"ca_bundle of the profile {name}", profile.get("ca_bundle", "")):
        options["root_certificate"] = options.get("root_certificate", b"") + roots
    return from_url(address, config=config, client_options=options, retry_config=retry, credential_provider=provider)


def _profile() -> tuple[str, dict[str, str]]:
    """Return the profile in use and what the files of the AWS command line say of it.

    Raises:
        StoreError: when they cannot be read.
        StoreAccessError: when AWS_PROFILE names none that is there, and nothing else gives keys.
    """
    environment, home = os.environ, Path.home() / ".aws"
    asked = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    found: dict[str, dict[str, str]] = {}
    for variable, default in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(environment.get(variable) or home / default).expanduser()
        parser = ConfigParser(interpolation=None, default_section="", strict=False)
        try:
            parser.read_string(read_file(path, _MOST).decode())
        except FileNotFoundError:
            continue
        except (OSError, Error, UnicodeDecodeError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
            raise StoreError(f"the AWS configuration in {path} cannot be read: {reason}") from error
        for section in parser.sections():
            if not section.startswith(("sso-session ", "services ")):
                found.setdefault(section.removeprefix("profile ").strip(), {}).update(parser[section])
    if asked and asked not in found and "AWS_ACCESS_KEY_ID" not in environment:
        raise StoreAccessError(
            f"AWS_PROFILE={asked} is no profile of ~/.aws/config and ~/.aws/credentials; "
            f"there {'are ' + ', '.join(sorted(found)[:20]) if found else 'is none'}"
        )
    return asked or "default", found.get(asked or "default", {})


def _from_boto(name: str, way: str) -> Any:
    """Return what gives the keys of a profile and renews them.

    Raises:
        StoreAccessError: when boto3 is not installed, or gets none.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise StoreAccessError(
            f"the AWS profile {name} has {way} in place of keys, which needs boto3: pip install 'avcorr[aws]'; "
            f'or: eval "$(aws configure export-credentials --profile {name} --format env)"'
        ) from error
    try:
        provider = Boto3CredentialProvider(boto3.Session(profile_name=name), ttl=_FRESH)
        provider()
    except (BotoCoreError, ClientError, ValueError) as error:
        advice = f"; log in with: aws sso login --profile {name}" if way.startswith("sso") else ""
        reason = " ".join(str(error).split())
        raise StoreAccessError(f"the AWS profile {name} gives no keys by its {way}: {reason}{advice}") from error
    return provider


S3 = Service(
    schemes=("s3", "s3a"),
    credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    public="AWS_SKIP_SIGNATURE=true",
    elsewhere="AWS_ENDPOINT_URL where the store is not Amazon's",
    endpoints=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    connect=_connect,
)
