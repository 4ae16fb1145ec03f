"""One file a command: it calls the parts and prints what they found. Imported when the command is used."""
