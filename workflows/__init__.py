"""What several rooms do together, as functions: the commands and a notebook call the same ones."""
