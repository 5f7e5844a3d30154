"""A site's own expectations: suites of Great Expectations in ``expectations/<database>.<table>.yml`` of a workspace.

They are read with the workspace's other files and judged at the gate of their database, by pandas on the columns that they name,
or by Spark where Spark measures the table. What is kept of a result are counts, never a value of a row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.contracts.contract import Bound, Contract
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid, StepFailed
from lakehouse.gates.gates import (
    IN_PROCESS_ROWS,
    Measure,
    arrived_condition,
    check_measures,
    new_context,
)
from lakehouse.query.words import identifier, spark_identifier
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, parse_model

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.gates")

FOLDER = "expectations"
DATABASES_WITH_EXPECTATIONS = ("trusted", "identity", "tags", "marts", "segments")
# Those that run a statement of their own or compare two tables are no statement about the rows of one.
_FOREIGN = ("query", "other_table", "multicolumn")
# What Great Expectations takes beside the statement itself; conditions are expressions that pandas would evaluate.
_NO_WORDS = frozenset(
    ("id", "meta", "notes", "description", "severity", "windows", "batch_id", "table", "row_condition", "condition_parser",
     "rendered_content", "result_format", "catch_exceptions", "expectation_type", "version")
)  # fmt: skip
NUMBER = "number"
_COLUMNS = ("column", "column_A", "column_B")
_COLUMN_LISTS = ("column_list", "column_set")
# Figures over all rows; the greatest value of a column would be that of one row.
_SHOWN = ("mean", "sum", "median", "stdev", "proportion", "count")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectationEntry(_Strict):
    """One expectation in the words of Great Expectations, why it holds, and what a breach does."""

    type: str
    kwargs: dict[str, Any]
    why: Annotated[str, Field(min_length=1)]
    severity: Literal["stop", "warn"] = "stop"


class ExpectationsFile(_Strict):
    """What a file of expectations says of one table; ``arrived`` are the rows of the night alone."""

    over: Literal["all", "arrived"] = "all"
    expectations: Annotated[list[ExpectationEntry], Field(min_length=1)]


@dataclass(frozen=True)
class SiteExpectation:
    """One expectation: its name and words, where it stands, and what a breach does."""

    name: str
    words: dict[str, Any]
    why: str
    severity: Literal["stop", "warn"]
    file: Path
    line: int | None

    @property
    def columns(self) -> list[str]:
        """The columns that it names."""
        names = [self.words[key] for key in _COLUMNS if key in self.words]
        return [*names, *(name for key in _COLUMN_LISTS for name in self.words.get(key, ()))]

    def expectation(self, number: int = 0) -> Any:
        """Give the expectation as Great Expectations takes it; words that it does not take raise ``SettingsInvalid``.

        Its result carries the ``number``.
        """
        import great_expectations.expectations as known

        kinds = {
            _snake(name): kind
            for name, kind in vars(known).items()
            if name.startswith("Expect") and not any(part in _snake(name) for part in _FOREIGN)
        }
        if self.name not in kinds:
            raise self._fault(f"there is no expectation '{self.name}'{did_you_mean(self.name, list(kinds))}")
        kind = kinds[self.name]
        words = sorted(set(kind.__fields__) - _NO_WORDS)
        for word, value in self.words.items():
            if word not in words:
                raise self._fault(f"'{self.name}' takes no '{word}'{did_you_mean(word, words)}")
            if isinstance(value, dict):
                raise self._fault(f"'{word}' of '{self.name}' is a value or a list")
        try:
            return kind(**self.words, meta={NUMBER: number})
        except (ValueError, TypeError) as wrong:
            errors = getattr(wrong, "errors", None)
            first = errors()[0] if errors is not None else {"loc": (), "msg": str(wrong)}
            place = ".".join(str(part) for part in first["loc"] if part != "__root__")
            reason = f"{place}: {first['msg']}" if place else first["msg"]
            raise self._fault(f"'{self.name}': {reason}") from None

    def _fault(self, message: str) -> SettingsInvalid:
        return SettingsInvalid(message, file=self.file, line=self.line)


@dataclass(frozen=True)
class Suite:
    """The expectations of one table."""

    table: str
    over: str
    expectations: tuple[SiteExpectation, ...]


def check_suites(settings: Settings, contracts: Iterable[Contract] = ()) -> list[Suite]:
    """Read every suite of a workspace; the first fault raises ``SettingsInvalid`` with its file and line.

    ``contracts`` are those that follow from the workspace, beside the written ones.
    """
    own = {one.name: one for one in contracts}
    return [_suite(file, own) for file in suite_files(settings)]


def suite_files(settings: Settings, database: str | None = None) -> list[Path]:
    """Give the files of expectations of a workspace, or those of a database, sorted."""
    pattern = f"{database}.*.yml" if database else "*.yml"
    return files_in(settings.workspace / FOLDER, pattern)


def _suite(file: Path, own: dict[str, Contract]) -> Suite:
    table = file.stem
    names = sorted(
        {name for name in (*contract_names(), *own) if name.partition(".")[0] in DATABASES_WITH_EXPECTATIONS}
    )
    if table not in names:
        raise SettingsInvalid(
            f"the file is called after no table of {', '.join(DATABASES_WITH_EXPECTATIONS)}{did_you_mean(table, names)}",
            file=file,
            line=1,
        )
    contract_of_table = own.get(table) or contract(table)
    tree = load_yaml(file)
    if not isinstance(tree, dict):
        raise SettingsInvalid(
            "a file of expectations has the keys 'over' and 'expectations' (a list)", file=file, line=1
        )
    content = parse_model(ExpectationsFile, tree, file=file)
    expectations = []
    for at, entry in enumerate(content.expectations):
        words = {word: _plain(value) for word, value in entry.kwargs.items()}
        line = line_of(tree, "expectations", at)
        one = SiteExpectation(entry.type, words, entry.why, entry.severity, file, line)
        for column in one.columns:
            kind = contract_of_table.columns[column].type if column in contract_of_table.columns else None
            if kind is None:
                hint = did_you_mean(column, list(contract_of_table.columns))
                raise SettingsInvalid(f"{table} has no column '{column}'{hint}", file=file, line=line)
            if kind.startswith(("array", "struct")):
                raise SettingsInvalid(
                    f"'{column}' of {table} is a list; expect something of a single value",
                    file=file,
                    line=line,
                )
        one.expectation()
        expectations.append(one)
    return Suite(table, content.over, tuple(expectations))


def _plain(value: Any) -> Any:
    """Give a value of YAML as one of Great Expectations; a day is its first instant, as the column's days are."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name).removeprefix("_")


def check_expectations(lake: Lake, database: str, business_date: date) -> None:
    """Judge the site's suites of a database; a breach of severity stop raises ``GateStopped``, and all results are kept."""
    own = [lake.contracts.get(name) for name in lake.contracts.names(database)]
    measures: list[Measure] = []
    for file in suite_files(lake.settings, database):
        suite = _suite(file, {one.name: one for one in own})
        if lake.exists(suite.table):
            measures += _measures(lake, suite, business_date)
    if measures:
        check_measures(lake, f"{database}_{FOLDER}", measures, business_date)


def _measures(lake: Lake, suite: Suite, business_date: date) -> list[Measure]:
    import great_expectations as gx

    batch = _batch(lake, suite, business_date)
    expectations_of_suite = [one.expectation(number) for number, one in enumerate(suite.expectations)]
    result = batch.validate(
        gx.ExpectationSuite(name=suite.table, expectations=expectations_of_suite), result_format="BASIC"
    )
    # Great Expectations answers in an order of its own.
    answers = {answer.expectation_config.meta[NUMBER]: answer for answer in result.results}
    measures: list[Measure] = []
    names: set[str] = set()
    for number, one in enumerate(suite.expectations):
        answer = answers[number]
        if _has_failed(answer.exception_info):
            raise StepFailed(
                f"the expectation '{one.name}' cannot be judged on {suite.table}; do its words fit the column?",
                file=one.file,
                line=one.line,
            )
        name = f"{one.name}({', '.join(one.columns)})"
        while name in names:
            name += "'"
        names.add(name)
        # Of a share of rows that may break it, ``mostly`` says the rest.
        most = round(1 - float(one.words.get("mostly", 1)), 9)
        value, figures = _figures(one.name, bool(answer.success), most, answer.result or {})
        why = f"{one.why}; {figures}{FOLDER}/{one.file.name}:{one.line}"
        bound = Bound(
            name,
            f"share of rows that break it; {FOLDER}/{one.file.name}",
            why,
            max=most,
            severity=one.severity,
        )
        measures.append(Measure(suite.table, bound, value))
    return measures


def _has_failed(info: dict[str, Any] | None) -> bool:
    """Tell whether judging failed; Great Expectations says so for the expectation, or for each figure that it needs."""
    if not info:
        return False
    each = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, dict)]
    return any(one.get("raised_exception") for one in each)


def _figures(name: str, is_met: bool, most: float, result: dict[str, Any]) -> tuple[float, str]:
    """Give the share of rows that break an expectation, and its figures; where rows are not counted 0 if it is met and else 1.

    Great Expectations has the last word: what it calls met is at most ``most``, what it does not is above.
    """
    count, unexpected = result.get("element_count"), result.get("unexpected_count")
    if unexpected is not None and count:
        share = unexpected / max(count - (result.get("missing_count") or 0), 1)
        share = min(share, most) if is_met else max(share, most + 1e-9)
        return share, f"{unexpected:,} of {count:,} rows; "
    observed = result.get("observed_value")
    is_shown = any(part in name for part in _SHOWN) and isinstance(observed, int | float)
    return (0.0 if is_met else 1.0), f"it is {observed:,.6g}; " if is_shown else ""


def _batch(lake: Lake, suite: Suite, business_date: date) -> Any:
    contract_of_table = lake.contracts.get(suite.table)
    columns = list(dict.fromkeys(column for one in suite.expectations for column in one.columns))
    columns = columns or list(contract_of_table.key)[:1]
    kinds = {name: contract_of_table.columns[name].type for name in columns}
    where = arrived_condition(contract_of_table, business_date) if suite.over == "arrived" else "true"
    if contract_of_table.shape == "state" and suite.over == "all":
        where = "valid_to IS NULL"
    is_large = lake.row_count(suite.table) > IN_PROCESS_ROWS
    if lake.is_for_spark(is_large=is_large):
        return _spark_batch(lake, suite, kinds, where)
    from lakehouse.query.desk import newest_sql, open_scratch

    words = ", ".join(
        f"{_readable(identifier(name), kind)} AS {identifier(name)}" for name, kind in kinds.items()
    )
    with open_scratch(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        rows = desk.arrow(f"SELECT {words} FROM ({newest_sql(lake.settings, suite.table)}) WHERE {where}")
    asset = new_context().data_sources.add_pandas(suite.table).add_dataframe_asset(suite.table)
    frame = rows.to_pandas()
    return asset.add_batch_definition_whole_dataframe(suite.table).get_batch({"dataframe": frame})


def _spark_batch(lake: Lake, suite: Suite, kinds: dict[str, str], where: str) -> Any:
    words = [
        f"{_readable(spark_identifier(name), kind)} AS {spark_identifier(name)}"
        for name, kind in kinds.items()
    ]
    _ = lake.spark
    frame = lake.read(suite.table).where(where).selectExpr(*words)
    asset = new_context().data_sources.add_spark(suite.table, persist=False).add_dataframe_asset(suite.table)
    return asset.add_batch_definition_whole_dataframe(suite.table).get_batch({"dataframe": frame})


def _readable(column: str, kind: str) -> str:
    """Give SQL of a column as both engines compare it: days and instants are instants of the lake's zone, amounts doubles."""
    if kind in ("date", "timestamp"):
        return f"CAST({column} AS TIMESTAMP)"
    return f"CAST({column} AS DOUBLE)" if kind.startswith("decimal") else column
