"""The classes of the corpus, one file each: one timeline of events that is both drawn and synthesised."""
