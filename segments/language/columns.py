"""Columns of an audience that are no tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segments.language.spec import Segment

WINDOW_COLUMNS = ("send_from", "send_until")
GIVEN_COLUMNS = ("variant", "channel")
COMPANIES = "companies"
# The credit codes a person is contacted for: public numbers, but beside a person they say what the person owns.
COMPANIES_LEVEL = "C2"


def given_columns(segment: Segment) -> tuple[str, ...]:
    """Give the columns a segment may publish that are no tags."""
    return (*GIVEN_COLUMNS, COMPANIES) if segment.spec.entity == "company" else GIVEN_COLUMNS
