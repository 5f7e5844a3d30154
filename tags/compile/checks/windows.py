"""Windows held against how long the rows are kept that they look at, by the source of the day that they are cut by."""

from __future__ import annotations

from tags.compile.checks.origins import retention_of
from tags.compile.entry_texts import Keys
from tags.compile.lineage import Lineage
from tags.compile.relations import TagSource
from vocabulary.registry import Aggregate, Entry, Registry


def check_window(registry: Registry, entry: Entry, relation: TagSource, lineage: Lineage) -> None:
    """Refuse a window that is longer than the rows are kept."""
    form = entry.compute.aggregate if entry.compute else None
    if form is None or not _has_window(form):
        return
    window_days = (form.window_days or 0) * form.windows or 31 * ((form.months or 0) * form.windows + 1)
    for table, kept_days in _shortest(relation, lineage):
        if window_days > kept_days:
            raise registry.fault(
                entry.code,
                f"looks back {window_days} days, but {_rows_of(table, relation)} is kept for {kept_days}",
                "compute",
                "aggregate",
                "window_days" if form.window_days else "months",
            )


def missing_window(entry: Entry, relation: TagSource, lineage: Lineage) -> tuple[Keys, str] | None:
    """Give the doubt of an aggregate without a window over rows that are deleted after a time."""
    form = entry.compute.aggregate if entry.compute else None
    if form is None or _has_window(form):
        return None
    for table, kept_days in _shortest(relation, lineage):
        return (
            ("compute", "aggregate", "from"),
            f"has no window, and {_rows_of(table, relation)} is kept for {kept_days} days: what it says falls when rows are "
            f"deleted; write `window_days: {kept_days}` or less",
        )
    return None


def _has_window(form: Aggregate) -> bool:
    return form.window_days is not None or form.months is not None


def _shortest(relation: TagSource, lineage: Lineage) -> list[tuple[str, int]]:
    """Give the table that is kept for the shortest time, with its days; none where all are kept."""
    return sorted(retention_of(relation, lineage).items(), key=lambda one: (one[1], one[0]))[:1]


def _rows_of(table: str, relation: TagSource) -> str:
    return table if relation.is_trusted else f"{table}, which {relation.name} reads,"
