"""Errors of the finding package."""


class FindingError(Exception):
    """Embeddings, an index or a query that cannot be used; the message says what to do."""
