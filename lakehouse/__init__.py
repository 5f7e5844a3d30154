"""The floor every room stands on: contracts, sessions, tables, gates, settings, errors. Knows no customer."""
