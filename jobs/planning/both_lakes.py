"""A desk over what is published and over the clone that a plan computed, to hold one against the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.desk import Desk, open_alone
from lakehouse.query.files import table_sql
from lakehouse.query.published import Published
from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class BothLakes:
    """The published lake and its clone, asked at one desk; ``day`` is the published business date."""

    desk: Desk
    published: Published
    clone: Lake

    @property
    def day(self) -> date:
        """The published business date."""
        return self.published.publication.business_date

    def pair(self, table: str) -> tuple[str, str]:
        """Give SQL for a table as it is published, and as the clone has it; columns are those of its contract."""
        before, after = (contracted_sql(lake, self.desk, table) for lake in (self.published, self.clone))
        return f"({before})", f"({after})"

    def pair_as_is(self, table: str) -> tuple[str, str]:
        """Give the same of a table whose columns follow from a workspace."""
        before, after = (table_sql(lake.delta(table), table) for lake in (self.published, self.clone))
        return f"({before})", f"({after})"


@contextmanager
def open_both(published: Published, clone: Lake) -> Iterator[BothLakes]:
    """Give the desk; it may touch the lake, in which the clone lies, and spills what does not fit into memory."""
    with open_alone(published.settings.time_zone, folders=[published.settings.lake]) as desk:
        yield BothLakes(desk, published, clone)
