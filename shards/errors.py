"""What can be wrong with shards, and with the places where they lie."""

from avcorr.errors import Error


class ShardError(Error):
    """Anything wrong with a shard or a folder of shards."""


class ShardFormatError(ShardError):
    """Bytes or metadata that break the format."""


class ShardTruncatedError(ShardError):
    """A shard that ends too early or lacks clips."""


class DatasetMismatchError(ShardError):
    """A folder that is no dataset, or one of another configuration."""


class StoreError(ShardError):
    """A store that cannot do what was asked."""


class MissingObjectError(StoreError, FileNotFoundError):
    """A file or an object that is not there."""


class MissingBucketError(StoreError):
    """A bucket or a container that is not there."""


class StoreAccessError(StoreError):
    """Credentials that are missing, wrong, expired, or lack the right."""


class ObjectChangedError(StoreError):
    """An object that was replaced while it was being read, so that its parts do not belong together."""


class StoreUnreachableError(StoreError):
    """A server that did not answer, or too slowly, after all retries."""
