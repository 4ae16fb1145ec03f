"""Finding things: embeddings of a whole dataset on disk, an index over them, and what a query brings back."""
