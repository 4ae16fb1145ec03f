"""What a model is evaluated on: the clips of a split, chosen by a protocol, at fixed times."""
