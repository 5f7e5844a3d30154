"""Gates at the hand-overs: measures from the contracts, judged by Great Expectations, before anything is visible.

One SQL aggregate per table gives its row of measures. Great Expectations then judges the frame of measures, which costs a second, where a suite on each table costs several.
"""

from __future__ import annotations

import logging
import math
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import Bound, Contract
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped, StepFailed
from lakehouse.settings.settings import FILE_NAME

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.gates")

# Up to so many rows DuckDB measures a table in this process: 0.05 s where a Spark query takes a second.
IN_PROCESS_ROWS = 50_000_000


@dataclass(frozen=True)
class Verdict:
    """One measure against its bound."""

    table: str
    bound: Bound
    value: float | None
    is_passed: bool

    def sentence(self) -> str:
        """Name table, rule, number and bound."""
        return f"{self.table}: {self.bound.name} is {self._number()}, must be {_limit(self.bound)} ({self.bound.why})"

    def exemption(self) -> str | None:
        """Say that only the workspace's own bound lets the number pass, why, and who set it; None where it is not so."""
        shipped = self.bound.shipped
        if shipped is None or not self.is_passed or shipped.severity != "stop" or self.value is None:
            return None
        if (shipped.min is None or self.value >= shipped.min) and (
            shipped.max is None or self.value <= shipped.max
        ):
            return None
        return (
            f"{self.table}: {self.bound.name} is {self._number()} and beyond the shipped bound ({_limit(shipped)}); "
            f"{FILE_NAME} lets it pass: {_reason(self.bound)}"
        )

    def _number(self) -> str:
        return "nothing" if self.value is None else f"{self.value:g}"


def _reason(bound: Bound) -> str:
    return bound.why if bound.set_by is None else f"{bound.why} (set by {bound.set_by})"


def _limit(bound: Bound) -> str:
    if bound.min is not None and bound.max is not None:
        return f"between {bound.min:g} and {bound.max:g}"
    return f"at least {bound.min:g}" if bound.min is not None else f"at most {bound.max:g}"


@dataclass(frozen=True)
class Measure:
    """A number that was measured already, and the bound it must keep."""

    table: str
    bound: Bound
    value: float | None


def check_measures(lake: Lake, gate: str, measures: Iterable[Measure], business_date: date) -> list[Verdict]:
    """Judge and keep numbers that no aggregate of one table gives; see ``judge_measures``."""
    bounds: dict[str, list[Bound]] = {}
    values: dict[tuple[str, str], float | None] = {}
    for one in measures:
        bounds.setdefault(one.table, []).append(one.bound)
        values[one.table, one.bound.name] = one.value
    return judge_measures(lake, gate, bounds, values, business_date)


def check_tables(lake: Lake, gate: str, tables: Iterable[str], business_date: date) -> list[Verdict]:
    """Measure and judge ``tables`` for ``business_date``; a breached ``stop`` bound raises ``GateStopped``.

    Measures and verdicts of the gate are kept either way, in ``quality.measures`` and ``quality.gate_results``.
    """
    bounds = {table: bounds_of(lake.contracts.get(table), lake.settings) for table in sorted(set(tables))}
    values = measure(lake, {t: b for t, b in bounds.items() if b}, business_date)
    return judge_measures(lake, gate, bounds, values, business_date)


def judge_measures(
    lake: Lake,
    gate: str,
    bounds: dict[str, list[Bound]],
    values: dict[tuple[str, str], float | None],
    business_date: date,
) -> list[Verdict]:
    """Judge numbers that were already measured; keep them; raise ``GateStopped`` on a breached ``stop`` bound."""
    pairs = [(table, bound) for table, bounds_of_table in bounds.items() for bound in bounds_of_table]
    verdict_by_name = _judged_by_great_expectations(
        [(f"{t}.{b.name}", b, values.get((t, b.name))) for t, b in pairs]
    )
    verdicts = [
        Verdict(table, bound, values.get((table, bound.name)), verdict_by_name[f"{table}.{bound.name}"])
        for table, bound in pairs
    ]
    _keep(lake, gate, verdicts, business_date)
    for verdict in verdicts:
        if not verdict.is_passed and verdict.bound.severity == "warn":
            log.warning("%s", verdict.sentence())
        if (exemption := verdict.exemption()) is not None:
            log.warning("%s", exemption)
    breaches = [verdict for verdict in verdicts if not verdict.is_passed and verdict.bound.severity == "stop"]
    if breaches:
        more = f" (and {len(breaches) - 1} more, see quality.gate_results)" if len(breaches) > 1 else ""
        raise GateStopped(f"the gate after {gate} stopped: {breaches[0].sentence()}{more}")
    return verdicts


def bounds_of(contract: Contract, settings: Settings) -> list[Bound]:
    """Give the bounds of a contract with the workspace's own thresholds laid over, and the key's uniqueness."""
    bounds = list(contract.bounds)
    if contract.shape in ("state", "derived", "dictionary"):
        bounds.append(
            Bound(
                name="duplicate_keys",
                measure=_duplicate_keys(contract),
                why="a key names one row",
                over="all",
                max=0,
            )
        )
    return [with_threshold(bound, settings, f"{contract.name}.{bound.name}") for bound in bounds]


def with_threshold(bound: Bound, settings: Settings, *keys: str) -> Bound:
    """Give a bound with the workspace's own threshold laid over, the first of ``keys`` that ``cdp.yml`` has."""
    own = next((settings.thresholds[key] for key in keys if key in settings.thresholds), None)
    if own is None:
        return bound
    return replace(
        bound,
        min=own.min,
        max=own.max,
        severity=own.severity or bound.severity,
        why=own.why,
        shipped=bound,
        set_by=own.by or _owner(settings.workspace / FILE_NAME),
    )


def _owner(file: Path) -> str:
    """Give whose file it is: the user of the operating system, or the number of one that it does not know."""
    number = file.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _duplicate_keys(contract: Contract) -> str:
    """Give SQL that counts surplus rows per key; of a state table among the open rows of a feed."""
    fields = ", ".join(contract.key)
    if contract.shape != "state":
        return f"count(*) - count(DISTINCT struct({fields}))"
    return (
        "count(CASE WHEN valid_to IS NULL THEN 1 END) - "
        f"count(DISTINCT CASE WHEN valid_to IS NULL THEN struct(_feed, {fields}) END)"
    )


def measure(
    lake: Lake, bounds: dict[str, list[Bound]], business_date: date, *, in_process_rows: int = IN_PROCESS_ROWS
) -> dict[tuple[str, str], float | None]:
    """Give the value of every bound's measure by (table, name).

    Tables of more than ``in_process_rows`` rows are large: on a cluster Spark measures them. The expressions are Spark SQL
    either way (sqlglot translates them).
    """
    small: list[_Selection] = []
    large: list[_Selection] = []
    for selection in _selections(lake, bounds, business_date):
        is_large = lake.row_count(selection.table) > in_process_rows
        (large if lake.is_for_spark(is_large=is_large) else small).append(selection)
    return _measured_in_process(lake, small) | _measured_by_spark(lake, large)


@dataclass(frozen=True)
class _Selection:
    """Measures of one table over the same rows."""

    table: str
    bounds: tuple[Bound, ...]
    where: str


def _selections(lake: Lake, bounds: dict[str, list[Bound]], business_date: date) -> list[_Selection]:
    selections = []
    for table, bounds_of_table in bounds.items():
        for over in ("all", "arrived"):
            same_rows = tuple(bound for bound in bounds_of_table if bound.over == over)
            where = (
                arrived_condition(lake.contracts.get(table), business_date) if over == "arrived" else "true"
            )
            if same_rows:
                selections.append(_Selection(table, same_rows, where))
    return selections


def _measured_in_process(lake: Lake, selections: list[_Selection]) -> dict[tuple[str, str], float | None]:
    import sqlglot

    from lakehouse.query.desk import newest_sql, open_scratch

    values: dict[tuple[str, str], float | None] = {}
    with open_scratch(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        for selection in selections:
            columns = ", ".join(f"try_cast({bound.measure} AS DOUBLE)" for bound in selection.bounds)
            text = f"SELECT {columns} FROM measured_rows WHERE {selection.where}"
            statement = sqlglot.parse_one(text, read="spark").transform(_countable).sql(dialect="duckdb")
            relation = newest_sql(lake.settings, selection.table)
            row = desk.rows(f"WITH measured_rows AS ({relation}) {statement}")[0]
            values |= {
                (selection.table, bound.name): value
                for bound, value in zip(selection.bounds, row, strict=True)
            }
    return values


def _countable(node: Any) -> Any:
    """Write ``count_if`` as a count, since sqlglot's sum of ones is null over no rows where Spark says 0."""
    from sqlglot import exp

    if isinstance(node, exp.CountIf):
        return exp.Count(this=exp.Case().when(node.this, exp.Literal.number(1)))
    return node


def _measured_by_spark(lake: Lake, selections: list[_Selection]) -> dict[tuple[str, str], float | None]:
    values: dict[tuple[str, str], float | None] = {}
    for selection in selections:
        columns = [
            f"try_cast({bound.measure} AS DOUBLE) AS m{number}"
            for number, bound in enumerate(selection.bounds)
        ]
        relation = f"delta.`{lake.path(selection.table)}`"
        row = lake.spark.sql(
            f"SELECT {', '.join(columns)} FROM {relation} WHERE {selection.where}"
        ).collect()[0]
        values |= {
            (selection.table, bound.name): value for bound, value in zip(selection.bounds, row, strict=True)
        }
    return values


def arrived_condition(contract: Contract, business_date: date) -> str:
    """Give SQL that is true of the rows of a table that came on a business date."""
    column = {"fact": "_arrived_on", "state": "valid_from", "log": "arrived_on"}.get(contract.shape)
    if column not in contract.columns:
        return "true"
    return f"{column} = DATE '{business_date.isoformat()}'"


def _judged_by_great_expectations(measures: list[tuple[str, Bound, float | None]]) -> dict[str, bool]:
    """Give per name whether the value lies within the bound; a missing value never passes a ``min``.

    All measures are rows of one frame under two expectations: one expectation for each measure takes ten times as long.
    """
    if not measures:
        return {}
    frames = _frames()
    import great_expectations as gx
    import pandas as pd

    frame = pd.DataFrame(
        {
            "name": [name for name, _, _ in measures],
            "low": [-math.inf if bound.min is None else bound.min for _, bound, _ in measures],
            "value": [math.nan if value is None else value for _, _, value in measures],
            "high": [math.inf if bound.max is None else bound.max for _, bound, _ in measures],
        }
    ).astype({"low": "float64", "value": "float64", "high": "float64"})
    batch = frames.get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name="bounds",
        expectations=[
            gx.expectations.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=above, column_B=below, or_equal=True, ignore_row_if="either_value_is_missing"
            )
            for above, below in (("value", "low"), ("high", "value"))
        ],
    )
    result = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["name"]}
    )
    breaches: set[str] = set()
    for one in result.results:
        if one.exception_info and one.exception_info.get("raised_exception"):
            raise StepFailed(f"the gate could not judge: {one.exception_info.get('exception_message')}")
        breaches |= {row["name"] for row in one.result.get("unexpected_index_list") or []}
    if bool(result.success) != (not breaches):
        raise StepFailed("the gate could not judge: its verdict names no measure")
    # Great Expectations skips nulls; a bound with a minimum must not pass because nothing was there.
    breaches |= {name for name, bound, value in measures if value is None and bound.min is not None}
    return {name: name not in breaches for name, _, _ in measures}


@cache
def _frames() -> Any:
    """Give what makes a frame a batch of Great Expectations; its context is made once in a process."""
    asset = new_context().data_sources.add_pandas("measures").add_dataframe_asset("measures")
    return asset.add_batch_definition_whole_dataframe("measures")


def new_context() -> Any:
    """Give a context of Great Expectations that keeps nothing, asks nobody and is silent."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # Its modules set their own levels and would chat through the root logger.
    logging.getLogger("great_expectations").propagate = False
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _keep(lake: Lake, gate: str, verdicts: list[Verdict], business_date: date) -> None:
    import pyarrow as pa

    base: list[dict[str, Any]] = [
        {
            "business_date": business_date, "gate": gate, "table_name": v.table, "measure": v.bound.name,
            "value": v.value, "low": v.bound.min, "high": v.bound.max, "severity": v.bound.severity,
            "is_passed": v.is_passed, "why": _reason(v.bound),
        }
        for v in verdicts
    ]  # fmt: skip
    for table in ("quality.measures", "quality.gate_results"):
        names = contract(table).columns
        rows = [{name: row[name] for name in names} for row in base]
        rows_of_table = pa.Table.from_pylist(rows, schema=contract(table).arrow_schema())
        lake.replace_partition(table, rows_of_table, business_date=business_date, gate=gate)
