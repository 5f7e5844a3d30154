"""From delivered text columns to rows of trusted tables: what a feed's YAML says as SQL over one record.

``mapped_columns`` and ``record_reasons`` say it once for every engine (``Dialect``): Spark, which computes anything; DuckDB in
bulk, for records of which ``ingestion.feeds.translation`` is sure; and DuckDB value by value, for the others
(``ingestion.feeds.exact_translation``). Per table ``k`` and entry ``i`` a record has
the typed columns ``m<k>_<i>__<column>`` (those the feed maps), ``in<k>_<i>`` (whether it has that row), and ``order<k>``
where the feed orders rows of one key; ``reasons`` why it is refused; and ``losses``, the values of optional columns that are
left empty because they cannot be held, as ``<reason>:<table>.<column>`` (null where there are none). What several records say of one key is for
``ingestion.judging.duplicates``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingestion.feeds.exact_translation import ExactTranslator
from ingestion.feeds.feeds import Feed, key_policy
from ingestion.feeds.translation import DATE, LONG, STRING, Translator
from ingestion.records.record_files import numbered_column, numbered_columns
from lakehouse.contracts.contract import Column, Contract
from lakehouse.contracts.reading import contract
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.query import words
from lakehouse.query.desk import Relation
from lakehouse.query.words import literal, spark_identifier, spark_literal
from vocabulary.attributes import ATTRIBUTES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class TableMap:
    """One trusted table a feed fills: its contract and the entries (mapping, condition) that fill it.

    Records are mapped by ``contract``. That of attributes has a column for each, of which a row of its own is written.
    """

    index: int
    contract: Contract
    entries: tuple[tuple[dict[str, str], str | None], ...]
    is_observed: bool

    @property
    def name(self) -> str:
        """The table's name."""
        return self.contract.name

    @property
    def stored_contract(self) -> Contract:
        """The contract of the rows that are written."""
        return contract(self.name)

    @property
    def rows_per_record(self) -> int:
        """The number of rows that a record becomes at most."""
        if self.name != ATTRIBUTES:
            return len(self.entries)
        return sum(len(self.attributes(i)) for i in range(len(self.entries)))

    def attributes(self, entry: int) -> list[Column]:
        """Give the attributes that an entry fills, of a table of attributes."""
        key = self.contract.key
        return [column for column in self.mapped_columns(entry) if column.name not in key]

    @property
    def is_single(self) -> bool:
        """Whether a record becomes at most one row."""
        return len(self.entries) == 1

    @property
    def key(self) -> tuple[str, ...]:
        """The key within the feed's source."""
        return tuple(name for name in self.contract.key if name != "source")

    def mapped_columns(self, entry: int) -> list[Column]:
        """Give the columns that an entry fills by an expression."""
        expressions = self.entries[entry][0]
        return [column for column in self.contract.business_columns.values() if column.name in expressions]

    def place(self, entry: int, name: str) -> str:
        """Give the name of a mapped column among those of a record."""
        return f"m{self.index}_{entry}__{name}"


# Spark knows days that neither Parquet's other readers nor Python can tell; DuckDB gets years of 1000 to 2999 only.
_CALENDAR = {
    "date": ("date'0001-01-01'", "date'9999-12-31'"),
    "timestamp": ("timestamp'0001-01-02 00:00:00Z'", "timestamp'9999-12-30 00:00:00Z'"),
}


@dataclass(frozen=True)
class Dialect:
    """How an engine says what the two say differently."""

    expression: Callable[[str], str]
    value: Callable[[str, Column], str]
    name: Callable[[str], str]
    text: Callable[[str], str]
    # Without the blanks around it; only blanks, in both engines.
    trim: Callable[[str], str]
    # The array of texts, sorted, each once, nulls left out.
    array: Callable[[Sequence[str]], str]
    # Whether a text says more than so many decimals hold; None where the engine computes no such record.
    has_more_decimals: Callable[[str, int], str] | None = None


def table_maps(feed: Feed) -> list[TableMap]:
    """Give what the feed fills, one map per table."""
    maps = []
    for index, table in enumerate(feed.tables):
        targets = feed.targets_of(table)
        entries = tuple((entry, target.where) for target in targets for entry in target.entries)
        maps.append(TableMap(index, feed.contract(table), entries, targets[0].each is not None))
    return maps


def spark_dialect() -> Dialect:
    """Give the words of Spark, in which feeds are written."""

    def value(text: str, column: Column) -> str:
        if column.type == STRING:
            return f"cast(({text}) as string)"
        cast = f"try_cast(({text}) as {column.type})"
        if column.type in _CALENDAR:
            first, last = _CALENDAR[column.type]
            return f"case when {cast} between {first} and {last} then {cast} end"
        return cast

    def array(texts: Sequence[str]) -> str:
        if not texts:
            return "cast(array() as array<string>)"
        return f"sort_array(array_distinct(filter(array({', '.join(texts)}), r -> r is not null)))"

    return Dialect(
        expression=lambda text: text,
        value=value,
        name=spark_identifier,
        text=spark_literal,
        trim=lambda sql: f"trim({sql})",
        array=array,
        has_more_decimals=_more_decimals,
    )


def _more_decimals(text: str, scale: int) -> str:
    """Give Spark SQL of a number, plain or with an exponent, having digits other than 0 beyond ``scale`` decimals."""
    number = f"trim(cast(({text}) as string))"
    digits = f"regexp_replace(regexp_replace({number}, '[eE].*$', ''), '[^0-9]', '')"
    decimals = (
        f"length(regexp_extract({number}, '[.]([0-9]*)', 1)) - length(regexp_extract({digits}, '(0*)$', 1))"
    )
    exponent = f"try_cast(regexp_extract({number}, '[eE]([-+]?[0-9]+)$', 1) as int)"
    shift = f"case when {number} rlike '[eE]' then coalesce({exponent}, -1000000) else 0 end"
    is_number = f"{number} rlike '^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$'"
    return (
        f"(coalesce({number} rlike '[.][0-9]{{{scale + 1}}}|[eE]' and {is_number} and {digits} rlike '[1-9]' "
        f"and {decimals} - ({shift}) > {scale}, false))"
    )


def names_of_record(feed: Feed) -> dict[str, tuple[str, str]]:
    """Give DuckDB's name and the kind of everything that an expression of a feed may name, in lower case."""
    names = {name.lower(): (numbered_column(at), STRING) for at, name in enumerate(feed.readable_columns)}
    return names | {
        "_file": ("_file", STRING),
        "_row": ("_row", LONG),
        "_business_date": ("_business_date", DATE),
    }


def quick_dialect(feed: Feed) -> tuple[Dialect, Translator]:
    """Give the words of DuckDB over the Parquet of a feed's records, and the translator that gathers the guards."""
    translator = Translator(names_of_record(feed))

    def value(text: str, column: Column) -> str:
        return f"CAST({translator.cast(translator.meaning(text), column.type)} AS {duck_type(column.type)})"

    return _duckdb_dialect(translator, value), translator


def exact_dialect(feed: Feed, zone: str) -> Dialect:
    """Give the words of DuckDB in which every record can be mapped; see ``ingestion.feeds.exact_translation``."""
    translator = ExactTranslator(names_of_record(feed), zone=zone)

    def value(text: str, column: Column) -> str:
        cast = f"CAST({translator.cast(translator.meaning(text), column.type)} AS {duck_type(column.type)})"
        if column.type in _CALENDAR:
            first, last = _CALENDAR[column.type]
            return f"CASE WHEN {cast} BETWEEN {first} AND {last} THEN {cast} END"
        return cast

    def has_more_decimals(text: str, scale: int) -> str:
        number = translator.cast(translator.meaning(text), STRING)
        return f"coalesce(has_more_decimals({number}, {scale}), false)"

    return replace(_duckdb_dialect(translator, value), has_more_decimals=has_more_decimals)


def _duckdb_dialect(translator: Translator, value: Callable[[str, Column], str]) -> Dialect:
    def array(texts: Sequence[str]) -> str:
        if not texts:
            return "CAST([] AS VARCHAR[])"
        not_null = f"list_filter([{', '.join(texts)}], lambda r: r IS NOT NULL)"
        return f"list_sort(list_distinct({not_null}))"

    return Dialect(
        expression=lambda text: f"({translator.meaning(text).sql})",
        value=value,
        name=lambda name: translator.names[name.lower()][0],
        text=literal,
        trim=_trim_in_process,
        array=array,
    )


def _trim_in_process(sql: str) -> str:
    """Give a text without the blanks around it; that there are none is seen in a tenth of the time ``trim`` takes."""
    return f"CASE WHEN starts_with({sql}, ' ') OR ends_with({sql}, ' ') THEN trim({sql}, ' ') ELSE {sql} END"


def duck_type(kind: str) -> str:
    """Give DuckDB's name of a contract's type."""
    return f"{duck_type(kind[6:-1])}[]" if kind.startswith("array<") else words.duck_type(kind)


def mapped_columns(feed: Feed, maps: Sequence[TableMap], dialect: Dialect) -> list[str]:
    """Give the SQL of every mapped column, ``… as name``, over a record."""
    columns: list[str] = []
    for table in maps:
        for i, (entry, where) in enumerate(table.entries):
            values = {
                column.name: _value(feed, table, column, entry, dialect) for column in table.mapped_columns(i)
            }
            columns += [f"{sql} as {table.place(i, name)}" for name, sql in values.items()]
            conditions = ["_problem is null"]
            if where is not None:
                conditions.append(f"coalesce(({dialect.expression(where)}), false)")
            if table.is_observed:
                # An observation of nothing is none: every part of its key must be there.
                conditions += [f"{values[name]} is not null" for name in table.contract.key if name in entry]
            columns.append(f"({' and '.join(conditions)}) as in{table.index}_{i}")
        order = key_policy(feed, table.name)[1]
        if order:
            columns.append(f"({dialect.expression(order)}) as order{table.index}")
    return columns


def _value(feed: Feed, table: TableMap, column: Column, entry: dict[str, str], dialect: Dialect) -> str:
    cast = dialect.value(entry[column.name], column)
    if column.name in table.contract.key and column.type == STRING:
        return f"nullif({dialect.trim(cast)}, '')"
    if feed.may_be_empty(table.contract, column.name):
        conditions = _holding(feed, column, entry[column.name], cast, dialect)
        if conditions:
            return f"case when {' and '.join(conditions)} then {cast} end"
    return cast


def _holding(feed: Feed, column: Column, text: str, cast: str, dialect: Dialect) -> list[str]:
    """Give the SQL of what must hold of a value that was read for the column to hold it."""
    conditions = []
    if column.allowed:
        conditions.append(f"{cast} in ({', '.join(dialect.text(word) for word in column.allowed)})")
    more = _has_more_decimals(feed, column, text, dialect)
    if more is not None:
        conditions.append(f"not {more}")
    return conditions


def _has_more_decimals(feed: Feed, column: Column, text: str, dialect: Dialect) -> str | None:
    """Give the SQL of a delivered number having more decimals than are kept; None where that cannot be, or is wanted."""
    if dialect.has_more_decimals is None or feed.decimals == "round":
        return None
    expression = parse_expression(text)
    casts = list(expression.decimal_casts)
    scale = decimal_scale(column.type)
    widest = max((decimals for _, decimals in casts), default=None)
    if scale is not None and not expression.is_computed and (widest is None or widest > scale):
        casts.append((text, scale))
    if not casts:
        return None
    return f"({' or '.join(dialect.has_more_decimals(argument, decimals) for argument, decimals in casts)})"


def decimal_scale(kind: str) -> int | None:
    """Give the decimals of a contract's type; None of a type that is no decimal."""
    match = re.fullmatch(r"decimal\(\d+,(\d+)\)", kind)
    return int(match[1]) if match else None


def record_reasons(feed: Feed, maps: Sequence[TableMap], dialect: Dialect) -> list[str]:
    """Give the SQL of every reason to refuse a record, null where it does not hold, over delivered and mapped columns.

    They count for records that could be split; ``_problem`` is the one reason of any other.
    """
    reasons = [
        f"case when coalesce(({dialect.expression(rule.refuse_when)}), false) then {dialect.text(rule.rule)} end"
        for rule in feed.row_rules
    ]
    for table, i, column, text in _mappings(maps):
        if not feed.may_be_empty(table.contract, column.name):
            value, condition = table.place(i, column.name), f"in{table.index}_{i}"
            reasons += _column_reasons(feed, table, column, text, value, condition, dialect)
    return reasons


def value_losses(feed: Feed, maps: Sequence[TableMap], dialect: Dialect) -> list[str]:
    """Give the SQL of every value that is left empty because its column cannot hold it, null where none is."""
    losses = []
    for table, i, column, text in _mappings(maps):
        if not feed.may_be_empty(table.contract, column.name):
            continue
        name = f"{table.name}.{column.name}"
        cases = []
        cast = dialect.value(text, column)
        unreadable = _unreadable(column, text, dialect)
        if unreadable:
            cases.append(f"when ({cast}) is null and ({' or '.join(unreadable)}) then 'unreadable:{name}'")
        more = _has_more_decimals(feed, column, text, dialect)
        if more is not None:
            cases.append(f"when {more} then 'more_decimals:{name}'")
        if column.allowed:
            cases.append(f"when ({cast}) is not null then 'not_allowed:{name}'")
        if cases:
            is_empty = f"in{table.index}_{i} and {table.place(i, column.name)} is null"
            losses.append(f"case when {is_empty} then case {' '.join(cases)} end end")
    return losses


def _mappings(maps: Sequence[TableMap]) -> Iterator[tuple[TableMap, int, Column, str]]:
    """Give every mapped column: its table, entry, column and expression."""
    for table in maps:
        for i, (entry, _) in enumerate(table.entries):
            for name, text in entry.items():
                yield table, i, table.contract.columns[name], text


def _reason_array(reasons: Sequence[str], dialect: Dialect) -> str:
    return (
        f"case when _problem is not null then {dialect.array(['_problem'])} else {dialect.array(reasons)} end"
    )


def _loss_array(losses: Sequence[str], dialect: Dialect) -> str:
    if not losses:
        return f"case when false then {dialect.array([])} end"
    is_whole = " and ".join(f"({loss}) is null" for loss in losses)
    return f"case when {is_whole} then null else {dialect.array(losses)} end"


def _unreadable(column: Column, text: str, dialect: Dialect) -> list[str]:
    """Give the SQL of why a value that is null was delivered all the same."""
    unreadable = [
        f"(({dialect.expression(call)}) is null and {_is_filled(columns, ' and ', dialect)})"
        for call, columns in parse_expression(text).tries
        if columns
    ]
    if column.type != "string":
        unreadable.append(f"(({dialect.expression(text)}) is not null)")
    return unreadable


def _column_reasons(
    feed: Feed, table: TableMap, column: Column, text: str, value: str, condition: str, dialect: Dialect
) -> list[str]:
    """Give the SQL of why a mapped value refuses its record: unreadable, missing, not allowed, of more decimals."""
    expression = parse_expression(text)
    unreadable = _unreadable(column, text, dialect)
    reasons = []
    if column.required or column.name in table.contract.key:
        is_filled = _is_filled(expression.columns, " or ", dialect) if expression.columns else "false"
        reasons.append(
            f"case when {condition} and {value} is null then "
            f"case when {is_filled} then 'unreadable:{column.name}' else 'missing:{column.name}' end end"
        )
    elif unreadable:
        reasons.append(
            f"case when {condition} and {value} is null and ({' or '.join(unreadable)}) then 'unreadable:{column.name}' end"
        )
    if column.allowed:
        values = ", ".join(dialect.text(word) for word in column.allowed)
        reasons.append(
            f"case when {condition} and {value} not in ({values}) then 'not_allowed:{column.name}' end"
        )
    more = _has_more_decimals(feed, column, text, dialect)
    if more is not None:
        reasons.append(
            f"case when {condition} and {value} is not null and {more} then 'more_decimals:{column.name}' end"
        )
    return reasons


def _is_filled(columns: Sequence[str], joiner: str, dialect: Dialect) -> str:
    """Give the SQL of delivered texts not being empty."""
    trimmed = (dialect.trim(f"cast({dialect.name(name)} as string)") for name in columns)
    return "(" + joiner.join(f"coalesce({sql} <> '', false)" for sql in trimmed) + ")"


_IS_ROW = re.compile(r"in\d+_\d+")


def _map_sql(feed: Feed, dialect: Dialect) -> tuple[list[str], str, str]:
    """Give the SQL of the mapped columns, and that of the arrays of reasons and of losses.

    Of a broken record nothing is computed: an expression may fail on its nulls.
    """
    maps = table_maps(feed)
    columns = []
    for sql, _, name in (column.rpartition(" as ") for column in mapped_columns(feed, maps, dialect)):
        whole = f"case when _problem is null then {sql} end"
        columns.append(
            f"coalesce({whole}, false) as {name}" if _IS_ROW.fullmatch(name) else f"{whole} as {name}"
        )
    losses = _loss_array(value_losses(feed, maps, dialect), dialect)
    return (
        columns,
        _reason_array(record_reasons(feed, maps, dialect), dialect),
        f"case when _problem is null then {losses} end",
    )


def exact_map(feed: Feed, zone: str) -> Callable[[str], str]:
    """Give what makes, of the SQL of records, that of the same as ``map_by_spark``, at a desk that knows ``text_values``.

    ``Untranslatable`` where only Spark can compute it.
    """
    columns, reasons, losses = _map_sql(feed, exact_dialect(feed, zone))
    names = "".join(f"{sql.rpartition(' as ')[2]}, " for sql in columns)

    def map_sql(records: str) -> str:
        rows = f"SELECT {', '.join(['*', *columns])} FROM ({records})"
        return f"SELECT _file, _row, _business_date, _night, {names}{reasons} AS reasons, {losses} AS losses FROM ({rows})"

    return map_sql


def map_by_spark(records: DataFrame, feed: Feed, text: Sequence[str] = ()) -> DataFrame:
    """Give the mapped records as Spark computes them: place, mapped columns, conditions, orders, reasons, losses.

    ``text_hash`` is Spark's hash of the delivered columns ``text`` and the night; null where none are named.
    """
    columns, reasons, losses = _map_sql(feed, spark_dialect())
    names = [f"`{sql.rpartition(' as ')[2]}`" for sql in columns]
    rows = records.selectExpr("*", *columns).selectExpr("*", f"{reasons} as reasons", f"{losses} as losses")
    values = [spark_identifier(name) for name in text]
    text_hash = words.spark_hash([*values, "_night"]) if text else "cast(null as bigint)"
    more = ("reasons", "losses", f"{text_hash} as text_hash")
    return rows.selectExpr("_file", "_row", "_business_date", "_night", *names, *more)


def identifying_table(feed: Feed, maps: Sequence[TableMap]) -> TableMap | None:
    """Give a table whose key identifies records: every accepted record has a row there, whose key comes of its text alone.

    Records equal to the letter then have equal keys, so that their texts need not be compared where no key returns. A state
    is used of whole deliveries only: elsewhere its keys return with every change, and nearly all texts would be compared.
    """
    names = {name.lower() for name in feed.columns}
    for table in maps:
        entry, where = table.entries[0]
        returns = table.contract.shape == "state" and feed.mode != "snapshot"
        if not table.is_single or where is not None or table.is_observed or returns:
            continue
        sources = {name for key in table.key if key in entry for name in parse_expression(entry[key]).columns}
        if {name.lower() for name in sources} <= names:
            return table
    return None


def has_text_hash(feed: Feed, maps: Sequence[TableMap]) -> bool:
    """Tell whether equal records are looked for by a hash of their text: not if nobody asks, nor if a table's key will do."""
    return feed.exact_duplicates != "keep" and identifying_table(feed, maps) is None


def text_hash(feed: Feed, maps: Sequence[TableMap]) -> str:
    """Give the DuckDB SQL of a 64-bit hash of a record's text and its night; null where nobody asks for it."""
    if not has_text_hash(feed, maps):
        return "NULL::UBIGINT"
    return words.duck_hash([*numbered_columns(feed), "_night"])


@dataclass(frozen=True)
class ProcessMap:
    """How this process maps a feed's records: SQL of every column and of the guards under which it is sure of them."""

    place: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    judgements: tuple[tuple[str, str], ...]
    guards: str
    text_hash: str

    def guarded_sql(self, records: Relation) -> str:
        """Give DuckDB SQL of the mapped records with ``is_sure`` and ``text_hash``.

        Where ``is_sure`` is false nothing else is computed: Spark has to do it.
        """
        source = f"(SELECT *, ({self.guards}) AS is_sure FROM {records})"
        more = ("is_sure", f"{self.text_hash} AS text_hash")
        return self._sql(source, "CASE WHEN is_sure THEN {} END AS {}", more)

    def sure_sql(self, records: Relation) -> str:
        """Give DuckDB SQL of the mapped records where this process is sure of all of them."""
        return self._sql(str(records), "{} AS {}")

    def _sql(self, source: str, form: str, more: Sequence[str] = ()) -> str:
        inner = ", ".join(["*", *(form.format(sql, name) for sql, name in self.columns)])
        judgements = [form.format(sql, name) for sql, name in self.judgements]
        columns = ", ".join([*self.place, *(name for _, name in self.columns), *judgements, *more])
        return f"SELECT {columns} FROM (SELECT {inner} FROM {source})"


def map_in_process(feed: Feed) -> ProcessMap | None:
    """Give the same as ``map_by_spark`` in this process; None where only Spark can compute it."""
    maps = table_maps(feed)
    dialect, translator = quick_dialect(feed)
    try:
        columns = mapped_columns(feed, maps, dialect)
        reasons = record_reasons(feed, maps, dialect)
        losses = value_losses(feed, maps, dialect)
    except Untranslatable:
        return None
    is_ok = " AND ".join(f"({reason}) IS NULL" for reason in ["_problem", *reasons])
    pairs = [sql.rpartition(" as ") for sql in columns]
    return ProcessMap(
        place=("_file", "_row", "_business_date", "_night"),
        columns=tuple((sql, name) for sql, _, name in pairs),
        judgements=(
            (_reason_array(reasons, dialect), "reasons"),
            (_loss_array(losses, dialect), "losses"),
            (f"({is_ok})", "is_ok"),
        ),
        guards=" AND ".join(translator.guards) or "true",
        text_hash=text_hash(feed, maps),
    )


def is_exact(feed: Feed, zone: str) -> bool:
    """Tell whether every record of a feed can be mapped value by value in this process."""
    try:
        exact_map(feed, zone)
    except Untranslatable:
        return False
    return True
