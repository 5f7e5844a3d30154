"""Why two records are one person or two, and who a person is; from published tables."""
