"""The folders of this room: the registry's entries and the dbt project that reads the tables."""

from __future__ import annotations

from pathlib import Path

REGISTRY = Path(__file__).parents[1] / "registry"
"""The entries the product ships, for ``vocabulary.registry`` and ``vocabulary.tag_facts``."""
PROJECT = Path(__file__).parents[2] / "dbt_project"
