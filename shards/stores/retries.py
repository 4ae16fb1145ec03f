"""What follows a failed request: the same again after a wait, new credentials, or an error for the user."""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

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
from .outage import ENDING

logger = logging.getLogger(__name__)

_PROGRESS_BYTES = 1 << 20
"""So much between two failures, and the earlier ones no longer count."""
_RENEWALS = 2
_RENEWABLE = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed"}
_METADATA_SERVICE = re.compile(r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal")
_FEW, _MANY = 3, 1000
"""Attempts, where there are no fewer by the policy."""
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)")
_CERTIFICATES = {
    "UnknownIssuer": "is of a CA that this machine does not know; name the CA's file (PEM) in SSL_CERT_FILE, "
    "AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE",
    "CaUsedAsEndEntity": "is that of a CA itself; let the CA sign one for the server, and name the CA's file (PEM) in "
    "SSL_CERT_FILE",
    "NotValidForName": "is for another name; use the name that it has, or let the server have one for this name",
    "NotValidForNameContext": "is for another name; use the name that it has, or let the server have one for this name",
    "Expired": "has expired; renew it, or set the clock of this machine",
    "ExpiredContext": "has expired; renew it, or set the clock of this machine",
}
"""What is wrong with a server's certificate, and the way out, by what the client calls it."""
_ABSENT = {
    "ConnectionRefused": "nobody listens there",
    "TimedOut": "no answer in time",
    "kind: Timeout": "no answer in time",
    "kind: Connect": "no connection",
    "ConnectionReset": "the connection was reset",
    "IncompleteMessage": "the server hung up",
    "kind: Interrupted": "the connection broke",
    "kind: Request": "no answer",
}
"""What the client says of a server that is not there, in words; the first that fits."""
_PAGE = "is HTML: the server answers a page (log in?); give an address that answers the file itself"
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
        self._absences, self._away_since = 0, 0.0

    def repeat(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns, made as often as may help; it raises the errors of the client."""
        while True:
            try:
                found = call()
            except client_errors() as error:
                self.failed(error)
            else:
                self.answered()
                return found

    def answered(self) -> None:
        """Note that the server answers, whatever becomes of the answer."""
        self._absences = 0
        self._connection.outage.end(self._connection.url)

    def failed(self, error: Exception, position: int = 0) -> None:
        """Wait; before that, drop the clients where new credentials may help. Raise where nothing does, or no longer.

        Args:
            error: of the client, or StoreUnreachableError of our own.
            position: bytes received so far.
        """
        policy, outage = self._connection.policy, self._connection.outage
        if isinstance(error, StoreUnreachableError):
            verdict = Verdict(error, _MANY)
        else:
            verdict = classify_error(error, self._where, self._connection.url, self._connection.service)
        reported = verdict.error
        if position - self._position >= _PROGRESS_BYTES:
            self._failures = self._renewals = 0
        self._position = position
        if isinstance(reported, StoreAccessError) and verdict.attempts > 1:
            self._renewals += 1
            self._connection.renew()
        now = time.monotonic()
        if verdict.is_outage and outage.answered:
            self._away_since = self._away_since if self._absences else now
            self._absences += 1
            if now - self._away_since >= policy.outage_seconds:
                raise StoreUnreachableError(f"gave up after {now - self._away_since:.0f} s: {reported}") from error
            outage.tell(self._connection.url, verdict.reason, policy)
        else:
            self._failures += 1
            is_last = self._failures >= min(policy.attempts, verdict.attempts)
            if verdict.attempts == 1 or self._renewals > _RENEWALS or self._renewals and is_last:
                raise reported from error
            if is_last:
                raise StoreUnreachableError(f"gave up after {self._failures} attempts: {reported}") from error
        count = self._failures + self._absences
        longest = min(policy.longest_wait, policy.first_wait * 2 ** min(count - 1, 30))
        logger.debug("%s: failure %d at byte %d: %s", self._where, count, position, reported)
        self._traffic.add(Traffic(retries=1))
        if ENDING.wait(random.uniform(longest / 2, longest)):
            raise StoreUnreachableError(f"{self._where} was not waited for: this process ends") from error


class Verdict(NamedTuple):
    """What an error of a client means."""

    error: ShardError
    """What to raise where it does not pass."""
    attempts: int = 1
    """How many may help; a StoreAccessError may pass with a new client, which reads the credentials again."""
    is_outage: bool = False
    """Whether the server is away, or has too much to do; then it is waited for, if it has answered before."""
    reason: str = ""
    """In a few words, for the log."""


def classify_error(error: Exception, where: str, root: str, service: Service) -> Verdict:
    """Return what an error of obstore means for the user.

    Args:
        error: as obstore raised it. Its text has the status and the body of the answer, and what lies behind it.
        where: address of the object.
        root: address of the store.
        service: the kind of store.
    """
    text, _, source = str(error).partition("\n\nDebug source")
    status = re.search(r"status code: (\d{3})", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    number, name = int(status[1]) if status else 0, code[1] if code else ""
    reason = " ".join(filter(None, (str(number or ""), name))) or (text.splitlines() or ["no message"])[0][:300]
    if _METADATA_SERVICE.search(text):
        return Verdict(
            StoreAccessError(
                f"no credentials for {root}: set {service.credentials}; for a public bucket set {service.public}"
            ),
            _MANY,
        )
    if not number and type(error).__name__ == "GenericError":
        return _classify_connection(text, source, reason, where, root)
    refused = StoreAccessError(f"{root} refuses the credentials ({reason}); check {service.credentials}")
    if name == "RequestTimeTooSkewed":
        return Verdict(StoreAccessError(f"{root} refuses the time of this machine ({reason}); set its clock"))
    if name in _RENEWABLE:
        return Verdict(
            StoreAccessError(
                f"the credentials for {root} have expired ({reason}); renew them, then run the same command again"
            ),
            _MANY,
        )
    if name in {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}:
        text = f"there is no bucket {root.split('/')[2]!r} ({reason}), asked for by {root}; check the name, "
        return Verdict(MissingBucketError(f"{text}and {service.elsewhere}"))
    if name in {"PermanentRedirect", "AuthorizationHeaderMalformed"} or number == 301:
        return Verdict(StoreAccessError(f"the bucket of {root} lies in another region ({reason}); set AWS_REGION"))
    if number == 401:
        return Verdict(refused, _MANY)
    if number == 403 or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
        return Verdict(refused)
    if isinstance(error, FileNotFoundError) or number == 404:
        return Verdict(MissingObjectError(f"{where} is not there"))
    if number == 412 or type(error).__name__ == "PreconditionError":
        return Verdict(changed(where))
    if number == 416:
        return Verdict(ShardTruncatedError(f"{where} is shorter than its index says: copy or make it again"))
    if type(error).__name__ == "NotSupportedError":
        return Verdict(StoreError(f"{where}: the server answers no ranges; serve the files with one that does"))
    if number in {408, 429} or number >= 500 or name in {"RequestTimeout", "SlowDown"}:
        text = f"{where} cannot be read ({reason}); see to the server, or try again later"
        return Verdict(StoreUnreachableError(text), _MANY, True, reason)
    text = f"{where} cannot be read ({reason}); check the address and the endpoint"
    return Verdict(StoreUnreachableError(text), 1 if number else _MANY)


def _classify_connection(text: str, source: str, reason: str, where: str, root: str) -> Verdict:
    """Return what it means that a request had no answer, or none that is HTTP."""
    if "builder error" in text:
        text = f"{where}: the address or the endpoint cannot be used; check how it is written"
        return Verdict(StoreError(text))
    if found := _CERTIFICATE.search(source):
        what = _CERTIFICATES.get(found[1], "is not valid; see to it, or name its CA's file (PEM) in SSL_CERT_FILE")
        return Verdict(StoreError(f"{root}: the server's certificate ({found[1]}) {what}"))
    if "InvalidMessage(" in source:
        return Verdict(StoreError(f"{root}: the server speaks no TLS there; write http://, or another port"))
    if "TooManyRedirects" in source:
        return Verdict(StoreError(f"{where}: the server redirects without end; see to its configuration"))
    if "dns error" in source:
        text = f"{root}: its host has no address (DNS); check how it is written, and the network"
        attempts = _FEW if "emporary failure" in source else 1
        return Verdict(StoreUnreachableError(text), attempts, True, "its name has no address")
    if "Parse(" in source or "source: Header {" in source or "UnexpectedRange" in source:
        what = (
            "without a length (Content-Length)" if "MissingContentLength" in source else f"that is not HTTP ({reason})"
        )
        return Verdict(StoreUnreachableError(f"{where}: the server gives an answer {what}; see to the server"), _FEW)
    for words, why in _ABSENT.items():
        if words in source:
            text = f"{where} cannot be read ({why}); check the network and the endpoint"
            return Verdict(StoreUnreachableError(text), _FEW if "kind: Connect" in source else _MANY, True, why)
    return Verdict(
        StoreUnreachableError(f"{where} cannot be read ({reason}); check the network and the endpoint"), _MANY
    )


def find_foreign(kind: str, encoding: str, head: bytes = b"") -> str:
    """Return what an answer is in place of a file of ours; "" where it may be one.

    Args:
        kind, encoding: Content-Type and Content-Encoding.
        head: its first bytes, if they are known.
    """
    if head.startswith(b"\x1f\x8b") or encoding not in ("", "identity", "aws-chunked"):
        how = encoding or "gzip"
        return f"is compressed ({how}); store it as it is, or let the server send it so"
    if kind.lower().startswith(("text/html", "application/xhtml")) or re.match(rb"\s*<(!doctype )?html", head, re.I):
        return _PAGE
    return ""


def changed(where: str) -> ObjectChangedError:
    """Return the error about an object that is not the one that reading began with."""
    return ObjectChangedError(
        f"{where} was replaced while it was being read; run the same command again to read what is there now"
    )
