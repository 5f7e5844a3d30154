"""The language in which a workspace writes SQL: a closed list of words, and what a text of it reads."""
