"""A run and its dataset in a browser: search by a file, walk from clip to clip, try any pair."""
