"""The words two rooms share, and nothing else."""
