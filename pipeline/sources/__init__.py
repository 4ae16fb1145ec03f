"""From what the user names to the list of inputs: files, members of archives, rows of a CSV."""
