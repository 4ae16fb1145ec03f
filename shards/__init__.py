"""The shard format: what a clip is, how shards are written, indexed, read and verified."""
