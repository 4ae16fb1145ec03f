"""Errors of search."""

from avcorr.errors import Error


class RetrievalError(Error):
    """Embeddings, an index or a query that cannot be used; the message says what to do."""
