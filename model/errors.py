"""Errors of the model package."""

from avcorr.errors import Error


class ModelError(Error):
    """A known failure of building, training or evaluating a model; its message says what to do."""


class CheckpointError(ModelError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class TrainingDiverged(ModelError):  # noqa: N818 - it says what happened
    """The loss or the weights are no longer finite."""


class EvaluationError(ModelError):
    """Embeddings or clips that cannot be evaluated."""
