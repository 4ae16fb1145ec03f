"""Errors of the finding package."""

from avcorr.errors import Error


class FindingError(Error):
    """Embeddings, an index or a query that cannot be used; the message says what to do."""
