"""One training: the step, the loop, several processes, what is logged."""
