"""Errors of the explore package."""

from avcorr.errors import Error


class ExploreError(Error):
    """A clip, a file or a page that cannot be shown or served; the message says what to do."""


class UnknownError(ExploreError):
    """Something that is asked for by name, and is not there."""


class BusyError(ExploreError):
    """A question beyond those that are answered at once."""
