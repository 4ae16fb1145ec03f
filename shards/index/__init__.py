"""The index beside the shards: what the dataset is, what each shard holds, what failed."""
