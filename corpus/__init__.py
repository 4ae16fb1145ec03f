"""Render a procedural corpus of short videos whose sound is caused by what is seen."""
