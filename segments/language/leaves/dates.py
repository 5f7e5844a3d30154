"""The leaf over key dates: how many days it is to a birthday, a payday, a maturity, the day of an opening.

The date is a tag's, or the first, last or next of a column of a person's rows; it may come back every month or year. Days are
those of the calendar, or trading days of a file ``calendars/<name>@<version>.csv`` with the header ``day``: every open day, in
order. A version of a calendar is never edited.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean, line_of, plain
from lakehouse.settings.yaml_limits import file_text
from segments.language.complaints import Complaints
from segments.language.conditions import Leaf
from segments.language.leaves.rows import Match, RowLeaf, normal_way, read_detail
from segments.language.operators import comparison_fault
from vocabulary.attributes import Attribute
from vocabulary.lookups import Lookup, LookupColumn
from vocabulary.relations import value_kind

Every = Literal["month", "year"]
PICKS = ("first", "last", "next")
FOLDER = "calendars"
MOST_CALENDAR_BYTES = 1_000_000
# No market rests longer; a year that is missing would count none of its days.
MOST_CLOSED_DAYS = 31
_REFERENCE = re.compile(r"^([a-z][a-z0-9_]*)@(\d+(?:\.\d+)*)$")


@dataclass(frozen=True)
class Calendar:
    """The trading days of a market, in order."""

    reference: str
    file: Path
    days: tuple[date, ...]

    def covers(self, day: date) -> bool:
        """Whether a day lies between the first and the last open day."""
        return self.days[0] <= day <= self.days[-1]

    def at_least(self, number: int, business_date: date) -> date | None:
        """Give the first day that is at least so many trading days after the business date, None where there is no such day.

        The number of a day is that of the open days after the business date up to it, and negative before.
        """
        position = bisect_right(self.days, business_date) + number - 1
        if position < 0:
            return self.days[0]
        return self.days[position] if position < len(self.days) else None


@dataclass(frozen=True)
class RowDate:
    """A date of a person's rows: of all that match the first, the last, or the next from the business date on."""

    table: str
    column: str
    pick: str
    matches: tuple[Match, ...] = ()
    attribute: Attribute | None = field(default=None, compare=False, repr=False)
    way: tuple[Lookup, ...] = ()
    end: LookupColumn | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class DateLeaf(Leaf):
    """How many days the business date is before a date (after it: negative); unknown where there is no date.

    Of ``every`` month or year the day that comes next counts; the last day of a month stands for days that it lacks. A tag of
    every month is a number, the day of the month.
    """

    of: str | RowDate
    every: Every | None
    days_ahead: Mapping[str, Any]
    calendar: str | None = None
    open_days: Calendar | None = field(default=None, compare=False, repr=False)

    def normal(self) -> dict[str, Any]:
        """Give the date, its recurrence, the days and the calendar."""
        if isinstance(self.of, RowDate):
            match = {m.column: {t.operator: t.operand for t in m.tests} for m in self.of.matches}
            of: Any = {"from": self.of.table, "of": self.of.column, "pick": self.of.pick, "match": match}
            of |= normal_way(self.of.way)
        else:
            of = self.of
        body = {
            "of": of,
            "every": self.every,
            "days_ahead": dict(self.days_ahead),
            "calendar": self.calendar,
        }
        return {"date": {key: value for key, value in body.items() if value is not None}}

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag that holds the date, if one does."""
        return () if isinstance(self.of, RowDate) else (self.of,)

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown: a person may have no such row, or a day beyond the calendar."""
        return isinstance(self.of, RowDate) or self.calendar is not None


def read_date(tree: Any, line: int | None, file: Complaints) -> DateLeaf:
    """Read ``{date: {of, from, via, match, pick, every, days_ahead, calendar}}``."""
    file.only(tree, ("date", "include_unknown"))
    body = file.mapping(tree, "date", "{of, days_ahead}", line)
    file.only(body, ("of", "from", "via", "match", "pick", "every", "days_ahead", "calendar"))
    if not isinstance(body.get("of"), str):
        raise file.fault("'date.of' takes a tag, or with 'from' a column of the rows", line_of(body, "of"))
    every = body.get("every")
    if every not in (None, "month", "year"):
        raise file.fault("'date.every' takes month or year", line_of(body, "every"))
    comparison = plain(body.get("days_ahead"))
    if fault := comparison_fault("days_ahead", comparison):
        raise file.fault(f"E03 {fault}", line_of(body, "days_ahead"))
    of: str | RowDate = str(body["of"])
    if "from" in body:
        of = _row_date(body, file)
    elif names := [f"'{key}'" for key in ("match", "pick", "via") if key in body]:
        raise file.fault(
            f"{' and '.join(names)} {'need' if len(names) > 1 else 'needs'} 'from', the rows that hold the date",
            line,
        )
    calendar = read_calendar(file, body) if "calendar" in body else None
    return DateLeaf(
        of,
        every,
        comparison,
        calendar.reference if calendar else None,
        calendar,
        line=line,
        include_unknown=file.include_unknown(tree),
    )


def _row_date(body: Any, file: Complaints) -> RowDate:
    pick = body.get("pick")
    if pick not in PICKS:
        raise file.fault(
            "'date.pick' says which of several dates counts: first, last or next", line_of(body, "pick")
        )
    rows = {key: body[key] for key in ("from", "via", "match") if key in body}
    leaf: RowLeaf = read_detail({"detail": rows}, line_of(body, "from"), file)
    column = str(body["of"])
    end = file.lookup_column(leaf.table, column, line_of(body, "of"))
    if end is not None:
        if end.column.type != "date":
            raise file.fault(f"E03 {column} is a {end.column.type}, no date", line_of(body, "of"))
        return RowDate(leaf.table, column, str(pick), leaf.matches, way=leaf.way, end=end)
    attributes = file.readable_attributes.of_table(leaf.table)
    days = [code for code, one in attributes.items() if one.type == "date"]
    days += [
        name
        for name in _columns(leaf.table)
        if value_kind(leaf.table, name) == "date" and not name.startswith(("_", "valid_"))
    ]
    if column not in days:
        file.require_attributes()
        raise file.fault(
            f"E01 {leaf.table.split('.')[1]} has no date '{column}'{did_you_mean(column, days)}",
            line_of(body, "of"),
        )
    return RowDate(leaf.table, column, str(pick), leaf.matches, attributes.get(column), leaf.way)


def _columns(table: str) -> list[str]:
    from lakehouse.contracts.reading import contract

    return list(contract(table).business_columns)


def _calendar_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the cells of every line below the header that is not empty, with its number."""
    text = file_text(path, MOST_CALENDAR_BYTES, "calendar").removeprefix("\ufeff")
    rows = csv.reader(text.splitlines())
    try:
        if next(rows, None) != ["day"]:
            raise SettingsInvalid("the header of a calendar is day", file=path, line=1)
        for cells in rows:
            if cells:
                yield rows.line_num, cells
    except csv.Error:
        raise SettingsInvalid("the line is no line of CSV", file=path, line=rows.line_num) from None


def read_calendar(file: Complaints, body: Any) -> Calendar:
    """Read the calendar a leaf names; it stands in the workspace of the segment's file."""
    reference, line = str(body["calendar"]), line_of(body, "calendar")
    folder = file.file.parent.parent / FOLDER
    path = folder / f"{reference}.csv"
    if not _REFERENCE.match(reference):
        raise file.fault(f"'{reference}' is no calendar; write <name>@<version>, like exchange@2026", line)
    if not path.is_file():
        references = [other.stem for other in files_in(folder, "*@*.csv") if other.is_file()]
        raise file.fault(
            f"E01 there is no calendar '{reference}' ({path}){did_you_mean(reference, references)}", line
        )
    days: list[date] = []
    for row_line, cells in _calendar_rows(path):
        try:
            day = date.fromisoformat(cells[0])
        except ValueError:
            day = None
        if day is None or cells != [day.isoformat()]:
            raise SettingsInvalid(
                "a line of a calendar holds one day, written like 2026-12-31", file=path, line=row_line
            )
        if days and day <= days[-1]:
            raise SettingsInvalid(
                "the days of a calendar stand in order, each once", file=path, line=row_line
            )
        if days and (day - days[-1]).days > MOST_CLOSED_DAYS:
            raise SettingsInvalid(
                f"no day is open from {days[-1]} to {day}; a calendar has no gap of more than {MOST_CLOSED_DAYS} days",
                file=path,
                line=row_line,
            )
        days.append(day)
    if not days:
        raise SettingsInvalid("the calendar holds no day", file=path, line=1)
    return Calendar(reference, path, tuple(days))
