"""Everything that can be wrong with a dataset, a shard, an archive, a clip."""
