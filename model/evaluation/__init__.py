"""What a model is worth: figures with their intervals, checks, tables, probes."""
