"""Delta tables of one lake: created from contracts, read, and written by its one writer."""
