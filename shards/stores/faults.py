"""What an error of the client means: try again, renew the credentials, or tell the user."""

import re
from enum import Enum

from ..errors import (
    MissingBucketError,
    MissingObjectError,
    ObjectChangedError,
    ShardError,
    ShardTruncatedError,
    StoreAccessError,
    StoreError,
    StoreUnreachableError,
)


class Remedy(Enum):
    """What may help."""

    AGAIN = "the same request again"
    RENEW = "the same request with a new client, which reads the credentials again"
    NONE = "nothing that a program could do"


_RENEWABLE = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed"}
_METADATA_SERVICE = re.compile(r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal")
_KEYS = {
    "s": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "g": "GOOGLE_APPLICATION_CREDENTIALS",
    "a": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "h": "the user and password in the address, https://USER:PASSWORD@HOST",
}
"""What to set, by the first letter of the scheme."""


def diagnose(error: Exception, where: str, root: str) -> tuple[Remedy, ShardError]:
    """Return what may help against an error of obstore, and the error to raise where that does not.

    Args:
        error: as obstore raised it. Its text has the status and the body of the answer.
        where: address of the object.
        root: address of the store.
    """
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d{3})", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    number, name = int(status[1]) if status else 0, code[1] if code else ""
    said = " ".join(filter(None, (str(number or ""), name))) or _first_line(text)
    if _METADATA_SERVICE.search(text):
        return Remedy.RENEW, StoreAccessError(
            f"no credentials for {root}: set {credentials_of(root)}; for a public bucket set {_open_access(root)}"
        )
    if name in _RENEWABLE:
        return Remedy.RENEW, StoreAccessError(
            f"the credentials for {root} have expired ({said}); renew them, then run the same command again"
        )
    if name in {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}:
        return Remedy.NONE, MissingBucketError(
            f"there is no bucket {root.split('/')[2]!r} ({said}), asked for by {root}; check the name, "
            "and AWS_ENDPOINT_URL where the store is not Amazon's"
        )
    if name in {"PermanentRedirect", "AuthorizationHeaderMalformed"} or number == 301:
        return Remedy.NONE, StoreAccessError(f"the bucket of {root} lies in another region ({said}); set AWS_REGION")
    if number == 401:
        return Remedy.RENEW, _refused(root, said)
    if number == 403 or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
        return Remedy.NONE, _refused(root, said)
    if isinstance(error, FileNotFoundError) or number == 404:
        return Remedy.NONE, MissingObjectError(f"{where} is not there")
    if number == 412 or type(error).__name__ == "PreconditionError":
        return Remedy.NONE, changed(where)
    if number == 416:
        return Remedy.NONE, ShardTruncatedError(f"{where} is shorter than its index says: copy or make it again")
    if type(error).__name__ == "NotSupportedError":
        return Remedy.NONE, StoreError(f"{where}: the server answers no ranges; serve the files with one that does")
    unreachable = StoreUnreachableError(f"{where} cannot be read ({said}); check the network and the endpoint")
    if "builder error" in text:
        return Remedy.NONE, StoreError(f"{where}: the address or the endpoint cannot be used; check how it is written")
    again = number in {0, 408, 429} or number >= 500 or name in {"RequestTimeout", "SlowDown"}
    return Remedy.AGAIN if again else Remedy.NONE, unreachable


def changed(where: str) -> ObjectChangedError:
    """Return the error about an object that is not the one that reading began with."""
    return ObjectChangedError(
        f"{where} was replaced while it was being read; run the same command again to read what is there now"
    )


def _refused(root: str, said: str) -> StoreAccessError:
    return StoreAccessError(f"{root} refuses the credentials ({said}); check {credentials_of(root)}")


def credentials_of(root: str) -> str:
    """Return what a user sets to be let in, for messages."""
    return _KEYS[root[0]]


def _open_access(root: str) -> str:
    return {"s": "AWS", "g": "GOOGLE", "a": "AZURE"}.get(root[0], "") + "_SKIP_SIGNATURE=true"


def _first_line(text: str) -> str:
    return text.splitlines()[0][:300] if text else "no message"
