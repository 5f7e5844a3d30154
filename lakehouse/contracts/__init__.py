"""What every table promises: one YAML file per table, and what is derived from it."""
