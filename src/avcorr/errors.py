"""The error that all of ours are."""


class Error(Exception):
    """Something a user can do something about; its text says what, where and the way out."""
