"""Contact sheets of clips: frames over the sound of the same seconds, as PNG and as HTML."""
