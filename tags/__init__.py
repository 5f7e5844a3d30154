"""Tags: what each answer about a person means, and the compiler from registry entries to dbt models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tags.compile.places import REGISTRY

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping

    from lakehouse.contracts.contract import Contract
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from tags.build.computation import TagsResult
    from tags.catalogue import TagUsers

__all__ = [
    "REGISTRY",
    "build_marts",
    "build_tags",
    "check_versions",
    "delete_old_files",
    "late_tables",
    "tag_contracts",
]


def build_tags(
    lake: Lake,
    business_date: dt.date,
    allowances: Mapping[str, int] | None = None,
    *,
    only: Collection[str] | None = None,
    users: Mapping[str, TagUsers] | None = None,
) -> TagsResult:
    """Compute every online tag as of ``business_date``, or ``only`` some (see ``tags.build.computation.build_tags``)."""
    from tags.build import computation

    return computation.build_tags(lake, business_date, allowances, only=only, users=users)


def late_tables(lake: Lake, business_date: dt.date, allowances: Mapping[str, int]) -> dict[str, dt.date]:
    """Give the trusted tables whose sources are late, each with the day up to which it is delivered (see ``tags.quality.sources``)."""
    from lakehouse.contracts.reading import contract_names
    from lakehouse.query.desk import open_newest
    from tags.quality.sources import read_lateness

    with open_newest(lake.settings) as desk:
        sources = read_lateness(desk, contract_names("trusted"), business_date, allowances)
    return {table: one.delivered_on for table, one in sources.late_tables.items()}


def build_marts(lake: Lake, business_date: dt.date) -> tuple[str, ...]:
    """Build the marts that a workspace declares from the tags of ``business_date``; give their names (see ``tags.marts``)."""
    from tags import marts

    return marts.build_marts(lake, business_date)


def delete_old_files(lake: Lake, business_date: dt.date) -> dict[str, int]:
    """Delete from disk the snapshots of tags that are kept no longer; see ``tags.build.retention.delete_old_files``."""
    from tags.build import retention

    return retention.delete_old_files(lake, business_date)


def reason_for_spark(settings: Settings) -> str | None:
    """Give why the workspace's tags need Spark: a model that only Spark can build; else None."""
    from tags.build import project
    from tags.compile.compilation import compile_tags

    return project.reason_for_spark(compile_tags(settings.workspace))


def check_versions(settings: Settings) -> None:
    """Raise ``SettingsInvalid``, with file and line, for a computed tag that was edited without a new version since it was published."""
    from tags.compile.compilation import compile_tags
    from tags.definitions import published_definitions, require_versions

    require_versions(compile_tags(settings.workspace).registry, published_definitions(settings))


def tag_contracts(settings: Settings) -> list[Contract]:
    """Read, check and compile a workspace's tags; give the contracts of the wide tag tables.

    The first fault raises with file and line. The wide tables can be read by these contracts before they are rebuilt.
    """
    from tags.build.engine import require_engine
    from tags.build.project import wide_contracts
    from tags.compile.compilation import compile_tags

    compilation = compile_tags(settings.workspace)
    if compilation.marts is not None:
        compilation.marts.declaration.require_snapshots(settings.retention.tag_month_ends)
    require_engine(settings, compilation)
    return wide_contracts(compilation)
