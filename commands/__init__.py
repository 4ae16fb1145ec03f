"""One file a command of run.py: it calls the parts and prints what they found. Imported when the command is used."""
