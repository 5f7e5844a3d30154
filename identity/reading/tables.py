"""Tables as identity reads them: the desk of one night, and SQL predicates that say which rows count on which day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Protocol

from lakehouse.query.desk import Desk, new_connection


class Source(Protocol):
    """Knows where the rows of a table are: a lake its newest ones, a publication those it names.

    Their files are in ``folders``.
    """

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of these files."""

    def relation(self, table: str, connection: Any) -> str:
        """Give SQL that reads the rows of a table."""


def open_desk(source: Source, business_date: date) -> Desk:
    """Give a desk on which ``$day`` is the business date; what is written after a table's first use is not seen.

    Days are those of UTC, whatever the time zone of the site.
    """
    connection = new_connection(folders=source.folders)
    desk = Desk(connection, source=lambda table: source.relation(table, connection))
    desk.let(day=business_date)
    return desk


# Rows of trusted states that are open on the day, or were open on the day of the night before (``$before``).
OPEN = "valid_from <= $day AND (valid_to IS NULL OR valid_to > $day)"
OPEN_BEFORE = "valid_from <= $before AND (valid_to IS NULL OR valid_to > $before)"
# Rows of identity's own states as the night before left them: an earlier attempt of this night does not show.
OWN_BEFORE = "valid_from < $day AND (valid_to IS NULL OR valid_to >= $day)"
# What the dictionary of OneIDs says of the kinds of people it has in the map.
KINDS = "SELECT coalesce(sum(hash(one_id, kind)), 0)::VARCHAR FROM identity.one_ids WHERE status = 'active'"
# The same of the people the night before had in the map: a later attempt may have left others active.
KINDS_BEFORE = f"""
SELECT coalesce(sum(hash(one_id, kind)), 0)::VARCHAR FROM identity.one_ids
WHERE one_id IN (SELECT one_id FROM identity.memberships WHERE {OWN_BEFORE})
"""


def qualified(predicate: str, alias: str) -> str:
    """Give a predicate about the rows of one table of a join."""
    return predicate.replace("valid_", f"{alias}.valid_")
