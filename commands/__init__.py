"""One file a command: its options, and from their words to one call and what is printed of it."""
