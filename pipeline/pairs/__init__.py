"""From shards to batches of pairs."""
