"""Tags: what each answer about a person means, and the compiler from registry entries to dbt models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from tags.build.computation import TagsResult
    from tags.build.project import Compiled

__all__ = ["REGISTRY", "build", "load_registry"]

REGISTRY = Path(__file__).parent / "registry"
"""The folder of the shipped registry, for ``vocabulary.registry`` and ``vocabulary.tag_facts``."""


def build(lake: Lake, business_date: dt.date) -> TagsResult:
    """Compute every online tag as of ``business_date`` (see ``tags.build.computation.build_tags``)."""
    from tags.build.computation import build_tags

    return build_tags(lake, business_date)


def load_registry(settings: Settings) -> Compiled:
    """Read, check and compile a workspace's tags; the first fault raises with file and line.

    The contracts of the wide tag tables are known afterwards, so that they can be read before they are rebuilt.
    """
    from lakehouse.contracts.reading import register_contract
    from tags.build.project import compile_tags, wide_contracts

    compiled = compile_tags(settings.workspace)
    for derived in wide_contracts(compiled):
        register_contract(derived)
    return compiled
