"""Search: embeddings of a whole dataset on disk, an index over them, queries and what they find."""
