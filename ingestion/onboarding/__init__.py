"""A new source: a feed drafted from a file, and what a sample becomes."""
