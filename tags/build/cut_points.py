"""Cut points: quantiles of published tags, computed on the first night of a period and kept until the next one.

A night that has nothing to compute from (none was published before it, or nobody of the population has a value) keeps the
earlier cut points, or leaves what the registry declares; the next night tries again. A rerun of a night takes back what that
night said, and reads only tags of days before it, so it says the same.
"""

from __future__ import annotations

import datetime as dt
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.reading import contract
from lakehouse.expressions.duckdb import duckdb_expression, function_statements
from lakehouse.query.desk import Desk, open_newest
from lakehouse.query.words import identifier, literal
from tags.build.project import DAILY
from tags.compile.sql_text import BUSINESS_DATE, CUT_POINTS
from vocabulary.registry import CutPoints, Entry, Param

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake
    from tags.compile.compilation import Compilation

log = logging.getLogger("cdp.tags")

_PARTS = 10_000
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def freeze_cut_points(lake: Lake, compilation: Compilation, business_date: dt.date) -> None:
    """Bring ``tags.cut_points`` to ``business_date``: rewind what this night said, and compute what its period lacks."""
    before = lake.read_arrow(CUT_POINTS).to_pylist()
    rows = rows_before(before, business_date)
    by_key = {
        (entry.code, param.name): (entry, param) for entry, param in _in_force(compilation, business_date)
    }
    for row in rows:
        key = (row["tag"], row["parameter"])
        if row["valid_to"] is None and (
            key not in by_key or row["definition"] != _spec(by_key[key][1]).summary
        ):
            row["valid_to"] = business_date
    current = {(row["tag"], row["parameter"]): row for row in rows if row["valid_to"] is None}
    due = [
        (entry, param)
        for key, (entry, param) in by_key.items()
        if key not in current or current[key]["period_on"] != period_of(business_date, _spec(param).frozen)
    ]
    if due:
        with open_newest(lake.settings) as desk:
            day = desk.value(f"SELECT max(as_of) FROM {DAILY} WHERE as_of < {literal(business_date)}")
            if day is None:
                log.info("No day was published before %s; the declared cut points count", business_date)
                due = []
            for entry, param in due:
                new = _new_row(desk, compilation, entry, param, day, business_date)
                if new is None:
                    log.warning(
                        "%s: nobody to compute the cut points ':%s' from before %s; %s",
                        entry.code,
                        param.name,
                        business_date,
                        "the earlier ones count"
                        if (entry.code, param.name) in current
                        else "the declared ones count",
                    )
                    continue
                if earlier := current.get((entry.code, param.name)):
                    earlier["valid_to"] = business_date
                rows.append(new)
    if rows != before:
        import pyarrow as pa

        lake.overwrite(CUT_POINTS, pa.Table.from_pylist(rows, schema=contract(CUT_POINTS).arrow_schema()))


def rows_before(rows: list[dict[str, Any]], business_date: dt.date) -> list[dict[str, Any]]:
    """Give the rows as they stood before ``business_date`` or a later night said anything."""
    return [
        row | {"valid_to": None if row["valid_to"] and row["valid_to"] >= business_date else row["valid_to"]}
        for row in rows
        if row["valid_from"] < business_date
    ]


def period_of(day: dt.date, frozen: str) -> dt.date:
    """Give the first day of the month, quarter or year of a day."""
    months = _MONTHS[frozen]
    return dt.date(day.year, (day.month - 1) // months * months + 1, 1)


def _in_force(compilation: Compilation, business_date: dt.date) -> list[tuple[Entry, Param]]:
    """Give the parameters that are cut points on a date: of each name what was in force last."""
    params: list[tuple[Entry, Param]] = []
    for entry in compilation.plan.entries:
        newest: dict[str, Param] = {}
        for param in sorted(entry.params, key=lambda p: p.since):
            if param.since <= business_date or param.name not in newest:
                newest[param.name] = param
        params += [(entry, param) for param in newest.values() if param.cut_points]
    return params


def _spec(param: Param) -> CutPoints:
    assert param.cut_points is not None
    return param.cut_points


def _new_row(
    desk: Desk,
    compilation: Compilation,
    entry: Entry,
    param: Param,
    day: dt.date,
    business_date: dt.date,
) -> dict[str, Any] | None:
    spec = _spec(param)
    condition = ""
    if spec.population:
        for statement in function_statements():
            desk.run(statement)
        text = compilation.writer.text(entry, spec.population, "params").replace(
            BUSINESS_DATE, f"date'{day}'"
        )
        condition = f" AND ({duckdb_expression(text)})"
    value = identifier(spec.of)
    people = desk.keep(
        "people to cut",
        f"SELECT {value} AS value FROM {DAILY} WHERE as_of = {literal(day)} AND {value} IS NOT NULL{condition}",
    )
    count = int(desk.value(f"SELECT count(*) FROM {people}"))
    if not count:
        return None
    places = [max(1, -(-count * int(quantile * _PARTS) // _PARTS)) for quantile in spec.quantiles]
    values = dict(
        desk.rows(
            f"SELECT place, value FROM (SELECT row_number() OVER (ORDER BY value) AS place, value FROM {people}) "
            f"WHERE place IN ({', '.join(map(str, places))})"
        )
    )
    desk.drop(people)
    return {
        "tag": entry.code,
        "parameter": param.name,
        "valid_from": business_date,
        "valid_to": None,
        "period_on": period_of(business_date, spec.frozen),
        "measured_on": day,
        "people_count": count,
        "cuts": [Decimal(values[place]) for place in places],
        "definition": spec.summary,
    }
