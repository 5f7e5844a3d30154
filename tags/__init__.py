"""Tags: what each answer about a person means, and the compiler from registry entries to dbt models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tags.compile.places import REGISTRY

if TYPE_CHECKING:
    import datetime as dt

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from tags.build.computation import TagsResult
    from tags.compile.compilation import Compilation

__all__ = ["REGISTRY", "build_tags", "load_registry"]


def build_tags(lake: Lake, business_date: dt.date) -> TagsResult:
    """Compute every online tag as of ``business_date`` (see ``tags.build.computation.build_tags``)."""
    from tags.build import computation

    return computation.build_tags(lake, business_date)


def load_registry(settings: Settings) -> Compilation:
    """Read, check and compile a workspace's tags; the first fault raises with file and line.

    The contracts of the wide tag tables are known afterwards, so that they can be read before they are rebuilt.
    """
    from lakehouse.contracts.reading import register_contract
    from tags.build.project import wide_contracts
    from tags.compile.compilation import compile_tags

    compilation = compile_tags(settings.workspace)
    for contract in wide_contracts(compilation):
        register_contract(contract)
    return compilation
