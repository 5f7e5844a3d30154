"""Guards of a segment: bounds of what it would publish, some of them against what was published before."""
