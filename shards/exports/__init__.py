"""What other loaders want to find beside the shards: wids, Hugging Face, Megatron Energon, DALI."""
