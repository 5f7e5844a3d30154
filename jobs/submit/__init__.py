"""The modules that ``spark-submit`` runs: the night, and each of its steps on its own."""
