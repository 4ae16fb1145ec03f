"""Serve the application until Ctrl-C."""

import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from avcorr.pipeline.decoding.ffmpeg import stop_all

from .connection import Limits, make_server
from .errors import ExploreError

THREADS = 16
"""Threads that answer; more than Uploads lets in, so that a slow file keeps nobody else waiting."""


def serve(application: Any, host: str, port: int, limit: int, ready: Callable[[str], None]) -> None:
    """Answer requests to a WSGI application until Ctrl-C, which is raised again as KeyboardInterrupt.

    Args:
        host: an address or a name of this machine.
        port: 0 takes any that is free.
        limit: bytes that a request may have; a larger one is refused before it is read.
        ready: called with the address once it is answered.

    Raises:
        ExploreError: when it cannot listen there.
    """
    logging.getLogger("waitress").setLevel(logging.ERROR)  # its notes about a queue are of no use to a person
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ExploreError(
            f"cannot listen on port {port} of {host} ({error.strerror}); give another --port or --host"
        ) from error
    with listening:
        server = make_server(application, listening, limit, Limits(), THREADS)
        try:
            ready(address(host, listening.getsockname()[1]))
            server.run()
        finally:
            server.close()
            stop_all()
    raise KeyboardInterrupt


def address(host: str, port: int) -> str:
    """Return the URL of a server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_local(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
