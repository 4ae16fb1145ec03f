"""What can be wrong with shards.

ShardError
├── ShardFormatError      the bytes or the metadata break shards/FORMAT.md
├── ShardTruncatedError   a shard is shorter, or holds fewer clips, than its index says
└── DatasetMismatchError  a folder holds something else than what was asked for
"""


class ShardError(Exception):
    """Anything wrong with a shard or a folder of shards."""


class ShardFormatError(ShardError):
    """Bytes or metadata that break the format."""


class ShardTruncatedError(ShardError):
    """A shard that ends too early or lacks clips."""


class DatasetMismatchError(ShardError):
    """A folder that is no dataset, or one of another configuration."""
