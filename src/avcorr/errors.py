"""The error that all of ours are."""


class Error(Exception):
    """Something a user can do something about; its text says what, where and the way out."""


class OutputError(Error):
    """A folder that cannot be written to: another process writes there, no permission, no space left."""
