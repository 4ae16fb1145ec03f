"""What follows a failed request: the same again after a wait, new credentials, or an error for the user."""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

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
from ..store import Traffic
from .client import Connection, Service, client_errors

logger = logging.getLogger(__name__)

_PROGRESS_BYTES = 1 << 20
"""So much between two failures, and the earlier ones no longer count."""
_RENEWALS = 2
_RENEWABLE = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed"}
_METADATA_SERVICE = re.compile(r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal")
_T = TypeVar("_T")


class Retries:
    """Counts the failures of one request and waits between them.

    Args:
        connection: to the store.
        path: of the object in it.
        traffic: where the attempts after the first are counted.
    """

    def __init__(self, connection: Connection, path: str, traffic: Traffic) -> None:
        self._connection, self._traffic = connection, traffic
        self._where = f"{connection.url}/{path}"
        self._failures = self._renewals = self._position = 0

    def repeat(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns, made as often as may help; it raises the errors of the client."""
        while True:
            try:
                return call()
            except client_errors() as error:
                self.failed(error)

    def failed(self, error: Exception, position: int = 0) -> None:
        """Wait; before that, drop the clients where new credentials may help. Raise where nothing does, or no longer.

        Args:
            error: of the client, or StoreUnreachableError of our own.
            position: bytes received so far.
        """
        policy, reported = self._connection.policy, error
        if not isinstance(error, StoreUnreachableError):
            may_pass, reported = classify_error(error, self._where, self._connection.url, self._connection.service)
            if not may_pass:
                raise reported from error
            if isinstance(reported, StoreAccessError):
                self._renewals += 1
                self._connection.renew()
        if position - self._position >= _PROGRESS_BYTES:
            self._failures = self._renewals = 0
        self._position = position
        self._failures += 1
        if self._renewals > _RENEWALS or self._renewals and self._failures >= policy.attempts:
            raise reported from error
        if self._failures >= policy.attempts:
            raise StoreUnreachableError(f"gave up after {self._failures} attempts: {reported}") from error
        longest = min(policy.longest_wait, policy.first_wait * 2 ** (self._failures - 1))
        logger.debug("%s: attempt %d at byte %d: %s", self._where, self._failures, position, reported)
        self._traffic.add(Traffic(retries=1))
        time.sleep(random.uniform(0, longest))


def classify_error(error: Exception, where: str, root: str, service: Service) -> tuple[bool, ShardError]:
    """Return whether an error of obstore may pass, and the error to raise where it does not.

    A StoreAccessError may pass with a new client, which reads the credentials again.

    Args:
        error: as obstore raised it. Its text has the status and the body of the answer.
        where: address of the object.
        root: address of the store.
        service: the kind of store.
    """
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d{3})", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    number, name = int(status[1]) if status else 0, code[1] if code else ""
    reason = " ".join(filter(None, (str(number or ""), name))) or (text.splitlines() or ["no message"])[0][:300]
    refused = StoreAccessError(f"{root} refuses the credentials ({reason}); check {service.credentials}")
    if _METADATA_SERVICE.search(text):
        return True, StoreAccessError(
            f"no credentials for {root}: set {service.credentials}; for a public bucket set {service.public}"
        )
    if name in _RENEWABLE:
        return True, StoreAccessError(
            f"the credentials for {root} have expired ({reason}); renew them, then run the same command again"
        )
    if name in {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}:
        return False, MissingBucketError(
            f"there is no bucket {root.split('/')[2]!r} ({reason}), asked for by {root}; check the name, "
            f"and {service.elsewhere}"
        )
    if name in {"PermanentRedirect", "AuthorizationHeaderMalformed"} or number == 301:
        return False, StoreAccessError(f"the bucket of {root} lies in another region ({reason}); set AWS_REGION")
    if number == 401:
        return True, refused
    if number == 403 or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
        return False, refused
    if isinstance(error, FileNotFoundError) or number == 404:
        return False, MissingObjectError(f"{where} is not there")
    if number == 412 or type(error).__name__ == "PreconditionError":
        return False, changed(where)
    if number == 416:
        return False, ShardTruncatedError(f"{where} is shorter than its index says: copy or make it again")
    if type(error).__name__ == "NotSupportedError":
        return False, StoreError(f"{where}: the server answers no ranges; serve the files with one that does")
    if "builder error" in text:
        return False, StoreError(f"{where}: the address or the endpoint cannot be used; check how it is written")
    again = number in {0, 408, 429} or number >= 500 or name in {"RequestTimeout", "SlowDown"}
    return again, StoreUnreachableError(f"{where} cannot be read ({reason}); check the network and the endpoint")


def changed(where: str) -> ObjectChangedError:
    """Return the error about an object that is not the one that reading began with."""
    return ObjectChangedError(
        f"{where} was replaced while it was being read; run the same command again to read what is there now"
    )
