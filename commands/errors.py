"""What a command answers in one line."""


class CommandError(Exception):
    """A command that cannot do what was asked."""
