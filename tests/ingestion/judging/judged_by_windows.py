"""The judging of records by Spark's windows over whole records: slow, plain, and what the fast way is held against.

The frame of records has the delivered columns under their own names, ``_file``, ``_row``, ``_business_date``, ``_night``,
``_problem``. ``judge_records`` adds, per record: ``reasons`` why it is refused, ``is_twin`` when another record is the same
to the letter, and per table ``k`` and entry ``i`` the mapped row ``m<k>_<i>`` with ``in<k>_<i>`` (whether the record has
that row) and ``dup<k>`` (whether another row holds its key).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame

from ingestion.feeds.feeds import Feed, key_policy
from ingestion.judging.mapping import TableMap, table_maps
from lakehouse.contracts.contract import Column
from lakehouse.expressions.expression import parse_expression

DELIVERED_ORDER = "_business_date, _file, _row"


def judge_records(
    records: DataFrame, feed: Feed, known: dict[str, DataFrame], *, is_history: bool = False
) -> DataFrame:
    """Give every record with its mapped rows, its reasons to be refused, and its duplicates marked.

    ``known`` holds, per fact table, the keys that earlier nights brought within the feed's days of looking back. With
    ``is_history`` the records are of many nights, and each night looks back at those before it.
    """
    maps = table_maps(feed)
    mapped = records.selectExpr("*", *_row_columns(feed, maps))
    judged = mapped.selectExpr("*", f"{_reasons(feed, maps)} as reasons")
    judged = judged.selectExpr("*", f"{_twin(feed)} as is_twin")
    for table in maps:
        if table.is_single and key_policy(feed, table.name)[0] == "refuse":
            judged = _refuse_conflicts(judged, table)
    for table in maps:
        if table.is_single:
            judged = _mark_duplicates(
                judged, feed, table, known.get(table.name), order=_order(feed, table, "_row")
            )
            if is_history:
                judged = _mark_repeats(judged, feed, table)
    kept = [name for name in judged.columns if name not in feed.columns]
    return judged.selectExpr(*[f"`{name}`" for name in kept])


def explode_rows(
    judged: DataFrame, feed: Feed, table: TableMap, known: DataFrame | None, *, is_history: bool = False
) -> DataFrame:
    """Give the rows of a table that takes several from one record: ``_file, _row, _night, m, dup``, one per row."""
    k = table.index
    entries = ", ".join(f"named_struct('is_in', in{k}_{i}, 'm', m{k}_{i})" for i in range(len(table.entries)))
    carried = [
        "_file",
        "_row",
        "_business_date",
        "_night",
        *(name for name in judged.columns if name == f"order{k}"),
    ]
    rows = (
        judged.where("size(reasons) = 0 and not is_twin")
        .selectExpr(*carried, f"posexplode(array({entries})) as (_entry, e)")
        .where("e.is_in")
        .selectExpr(
            *carried, "_entry", f"e.m as m{k}_0", f"true as in{k}_0", "array() as reasons", "false as is_twin"
        )
    )
    marked = _mark_duplicates(rows, feed, table, known, order=_order(feed, table, "_row, _entry"))
    if is_history:
        marked = _mark_repeats(marked, feed, table)
    return marked.selectExpr("_file", "_row", "_night", f"m{k}_0 as m", f"dup{k} as dup")


def _row_columns(feed: Feed, maps: Sequence[TableMap]) -> list[str]:
    made: list[str] = []
    for table in maps:
        for i, (entry, where) in enumerate(table.entries):
            fields = []
            for column in table.contract.business_columns.values():
                fields.append(f"'{column.name}', {_value(feed, table, column, entry)}")
            made.append(f"named_struct({', '.join(fields)}) as m{table.index}_{i}")
            conditions = ["_problem is null"]
            if where is not None:
                conditions.append(f"coalesce(({where}), false)")
            if table.is_observed:
                # An observation of nothing is none: every part of its key must be there.
                keys = [c for c in table.contract.key if c in entry]
                conditions += [
                    f"{_value(feed, table, table.contract.columns[c], entry)} is not null" for c in keys
                ]
            made.append(f"({' and '.join(conditions)}) as in{table.index}_{i}")
        order = key_policy(feed, table.name)[1]
        if order:
            made.append(f"({order}) as order{table.index}")
    return made


def _value(feed: Feed, table: TableMap, column: Column, entry: dict[str, str]) -> str:
    if column.name == "source":
        return f"'{feed.source}'"
    text = entry.get(column.name)
    if text is None:
        return f"cast(null as {column.type})"
    cast = f"cast(({text}) as string)" if column.type == "string" else f"try_cast(({text}) as {column.type})"
    if column.name in table.contract.key and column.type == "string":
        return f"nullif(trim({cast}), '')"
    return cast


def _reasons(feed: Feed, maps: Sequence[TableMap]) -> str:
    found = [
        f"case when coalesce(({rule.refuse_when}), false) then '{rule.rule}' end" for rule in feed.row_rules
    ]
    for table in maps:
        for i, (entry, _) in enumerate(table.entries):
            for name, text in entry.items():
                column = table.contract.columns[name]
                if table.contract.is_attribute(name):
                    continue
                found += _column_reasons(
                    table, column, text, f"m{table.index}_{i}.{name}", f"in{table.index}_{i}"
                )
    listed = (
        f"filter(array({', '.join(found)}), r -> r is not null)"
        if found
        else "cast(array() as array<string>)"
    )
    return (
        f"case when _problem is not null then array(_problem) else sort_array(array_distinct({listed})) end"
    )


def _column_reasons(table: TableMap, column: Column, text: str, value: str, condition: str) -> list[str]:
    """Give the SQL of why a mapped value refuses its record: unreadable, missing, not allowed."""
    expression = parse_expression(text)
    lost = [
        f"(({call}) is null and {_filled(columns, ' and ')})" for call, columns in expression.tries if columns
    ]
    if column.type != "string":
        lost.append(f"(({text}) is not null)")
    found = []
    if column.required or column.name in table.contract.key:
        unread = _filled(expression.columns, " or ") if expression.columns else "false"
        found.append(
            f"case when {condition} and {value} is null then "
            f"case when {unread} then 'unreadable:{column.name}' else 'missing:{column.name}' end end"
        )
    elif lost:
        found.append(
            f"case when {condition} and {value} is null and ({' or '.join(lost)}) then 'unreadable:{column.name}' end"
        )
    scale = re.search(r",(\d+)\)", column.type)
    if scale and expression.columns == ("amount",):
        exact, rounded = (f"try_cast(amount as decimal(28,{digits}))" for digits in (9, scale[1]))
        found.append(
            f"case when {condition} and {value} is not null and {exact} <> {rounded} then 'more_decimals:{column.name}' end"
        )
    if column.allowed:
        values = ", ".join("'" + allowed.replace("'", "\\'") + "'" for allowed in column.allowed)
        found.append(
            f"case when {condition} and {value} not in ({values}) then 'not_allowed:{column.name}' end"
        )
    return found


def _filled(columns: Sequence[str], joiner: str) -> str:
    """Give the SQL of delivered texts not being empty."""
    return (
        "(" + joiner.join(f"coalesce(trim(cast(`{name}` as string)) <> '', false)" for name in columns) + ")"
    )


def _twin(feed: Feed) -> str:
    if feed.exact_duplicates == "keep":
        return "false"
    same = ", ".join(f"`{name}`" for name in feed.columns)
    return (
        f"(size(reasons) = 0 and row_number() over (partition by {same}, _night, size(reasons) = 0 "
        f"order by {DELIVERED_ORDER}) > 1)"
    )


def _keys(table: TableMap) -> str:
    return ", ".join(f"m{table.index}_0.{name}" for name in table.contract.key if name != "source")


def _refuse_conflicts(judged: DataFrame, table: TableMap) -> DataFrame:
    """Refuse all rows of a key that one delivery states in different ways: nobody can say which is right."""
    k = table.index
    eligible = f"(size(reasons) = 0 and not is_twin and in{k}_0)"
    window = f"over (partition by {_keys(table)}, _business_date, {eligible})"
    differs = f"({eligible} and not (min(m{k}_0) {window} <=> max(m{k}_0) {window}))"
    kept = [f"`{name}`" for name in judged.columns if name != "reasons"]
    marked = judged.selectExpr("*", f"{differs} as differs")
    return marked.selectExpr(*kept, f"if(differs, array('same_key:{table.name}'), reasons) as reasons")


def _order(feed: Feed, table: TableMap, last: str) -> str:
    """Give the order that picks one of several rows of a key; it ends in the record's place, which is unique."""
    policy, by = key_policy(feed, table.name)
    forward = DELIVERED_ORDER.replace("_row", last)
    backward = ", ".join(f"{part.strip()} desc" for part in forward.split(","))
    stated = f"order{table.index} {'desc' if policy == 'last' else 'asc'} nulls last, " if by else ""
    ending = backward if policy == "last" else forward
    # Of a state delivered for two days the later day is the state, whatever the rule for one day says.
    day = "_business_date desc, " if table.contract.shape == "state" else ""
    return f"{day}{stated}{ending}"


def _mark_duplicates(
    rows: DataFrame, feed: Feed, table: TableMap, known: DataFrame | None, *, order: str
) -> DataFrame:
    k = table.index
    eligible = f"(size(reasons) = 0 and not is_twin and in{k}_0)"
    repeated = f"row_number() over (partition by {_keys(table)}, _night, {eligible} order by {order}) > 1"
    if known is None:
        return rows.selectExpr("*", f"({eligible} and {repeated}) as dup{k}")
    keys = [name for name in table.contract.key if name != "source"]
    marks = known.selectExpr(*[f"`{name}` as known_{name}" for name in keys], "true as is_known").distinct()
    joined = (
        rows.alias("r").join(marks, on=_on(k, keys), how="left").drop(*[f"known_{name}" for name in keys])
    )
    marked = joined.selectExpr("*", f"({eligible} and (is_known is not null or {repeated})) as dup{k}")
    return marked.drop("is_known")


def _mark_repeats(rows: DataFrame, feed: Feed, table: TableMap) -> DataFrame:
    """Mark what a night brings again of a key that a night before it kept, within the days the feed looks back.

    A repeated row is not kept, so it hides no later one: the nights of a key are told in order.
    """
    days = feed.dedupe_window(table.name) if table.contract.shape == "fact" else 0
    if not days:
        return rows
    k = table.index
    keys = [name for name in table.contract.key if name != "source"]
    stands = f"size(reasons) = 0 and not is_twin and in{k}_0 and not dup{k}"
    told = rows.where(stands).selectExpr(
        *[f"m{k}_0.{name} as known_{name}" for name in keys], "_night as night"
    )
    nights = told.groupBy(*[f"known_{name}" for name in keys]).agg({"night": "collect_set"})
    repeats = (
        nights.withColumnRenamed("collect_set(night)", "nights")
        .where("size(nights) > 1")
        .selectExpr(
            *[f"known_{name}" for name in keys],
            f"""explode(aggregate(
            sort_array(nights),
            named_struct('kept', cast(null as date), 'again', cast(array() as array<date>)),
            (told, night) -> if(told.kept is null or datediff(night, told.kept) > {days},
                named_struct('kept', night, 'again', told.again),
                named_struct('kept', told.kept, 'again', concat(told.again, array(night)))),
            told -> told.again)) as known_night""",
            "true as is_repeat",
        )
    )
    on = _on(k, keys) & _same_night()
    joined = rows.alias("r").join(repeats, on=on, how="left")
    kept = [f"`{name}`" for name in rows.columns if name != f"dup{k}"]
    return joined.selectExpr(*kept, f"(dup{k} or coalesce({stands} and is_repeat, false)) as dup{k}")


def _same_night() -> SparkColumn:
    from pyspark.sql import functions as F

    return F.col("r._night") == F.col("known_night")


def _on(k: int, keys: Sequence[str]) -> SparkColumn:
    from pyspark.sql import functions as F

    condition = F.lit(True)
    for name in keys:
        condition = condition & (F.col(f"r.m{k}_0.{name}") == F.col(f"known_{name}"))
    return condition
