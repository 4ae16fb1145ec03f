"""The options of the commands, without importing what the commands need."""
