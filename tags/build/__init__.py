"""The dbt project of a workspace, and one night's tags."""
