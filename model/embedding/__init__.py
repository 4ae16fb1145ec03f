"""A trained model on frames and sounds: files, arrays, batches."""
