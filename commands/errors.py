"""What a command answers in one line."""

from avcorr.errors import Error


class CommandError(Error):
    """A command that cannot do what was asked."""
