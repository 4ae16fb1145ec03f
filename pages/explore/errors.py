"""Errors of the explore package."""

from avcorr.errors import Error


class ExploreError(Error):
    """What cannot be shown or served; the message says what to do."""


class UnknownError(ExploreError):
    """Something that is asked for by name, and is not there."""


class BusyError(ExploreError):
    """More was asked for at once than is answered at once."""
