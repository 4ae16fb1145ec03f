"""Configuration: the schema of a run, strict loading of its YAML, and the recipes themselves beside them."""
