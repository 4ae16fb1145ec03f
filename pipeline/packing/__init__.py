"""From a list of inputs to shards, an index and a ledger."""
