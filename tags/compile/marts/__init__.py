"""Marts: what a workspace declares of them, and the dbt models that follow from it."""
