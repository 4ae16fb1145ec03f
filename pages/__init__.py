"""Pages for people: the report, the explorer, contact sheets."""
