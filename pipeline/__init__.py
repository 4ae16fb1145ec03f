"""The data pipeline: videos in, shards out; shards in, pairs of a frame and a second of sound out."""
