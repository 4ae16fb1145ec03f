"""A model on disk: checkpoints, weights for others, exports."""
