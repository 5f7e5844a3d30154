"""From specifications to Spark SQL: one leaf table (person × leaf) for all segments of a night together.

The wide tag table is read once, each event relation once. Logic runs on the leaf table by dependency level
(see ``segments.choosing.decide``); SQL's AND, OR and NOT are Kleene's, so the unknown is simply null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from lakehouse.query.desk import Relation
from lakehouse.query.words import spark_literal, spark_literals
from segments.choosing.leaves.members import entity_sql
from segments.choosing.leaves.parts import LeafParts, leaf_parts
from segments.choosing.leaves.ranks import rank_sql
from segments.choosing.suppression import PersonFactsSql, channel_sql, person_facts_sql, reason_sql
from segments.language.columns import given_columns
from segments.language.conditions import EventLeaf, Leaf, ListLeaf, SegmentLeaf, TagLeaf, logic_sql
from segments.language.leaves.people import RankLeaf, SampleLeaf
from segments.language.offers import OFFER_TAG
from segments.language.operators import comparison_sql, test_sql
from segments.language.segment_leaves import all_leaves, measured_tags, read_leaves
from segments.language.spec import Segment
from vocabulary.buckets import salted_bucket_sql
from vocabulary.contact_rules import lake_place, receipts_sql
from vocabulary.policy import Policy
from vocabulary.relations import entity_people_sql

LIST_VIEW = "segment_lists"
TAG_TABLE = "tags.customer_tags"
DAILY_TABLE = "tags.customer_tags_daily"
MEMBERSHIPS = "identity.memberships"
PERSONS_SQL = f"SELECT one_id, source, source_key FROM {MEMBERSHIPS} WHERE valid_to IS NULL"


@dataclass(frozen=True)
class LeafTable:
    """The compiled query, the tables it reads, and what each part of it is based on."""

    sql: str
    tables: tuple[str, ...]
    columns_of: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Leaves:
    """The rows of a leaf table: one per OneID with a tag row, with the columns of ``compile_leaf_table``."""

    rows: Relation
    columns_of: dict[str, tuple[str, ...]]
    """The columns that rest on each table of the lake."""
    folder: Path | None = None
    """Where the files of the rows are, if Spark wrote them."""


def value_column(tag: str) -> str:
    """Give the leaf table's column that holds a tag's value, for publishing."""
    return f"value_{tag}"


def tag_uses(segment: Segment) -> dict[str, frozenset[str]]:
    """Give every tag that a segment reads, by code, with what it reads it for.

    That is a ``condition``, a ``rank``, the ``people`` of a company or household, a published ``column``, who suits its ``offer``,
    and the ``value`` that orders contacts.
    """
    ranks = {tag for leaf in rank_leaves(segment) for tag in leaf.tags}
    conditions = {tag for leaf in all_leaves(segment) if not isinstance(leaf, RankLeaf) for tag in leaf.tags}
    value = segment.spec.contact.expected_value
    tags_of: dict[str, set[str]] = {
        "condition": conditions,
        "rank": ranks,
        "people": set(measured_tags(segment)),
        "column": {c for c in segment.spec.publish.columns if c not in given_columns(segment)},
        "offer": {OFFER_TAG} if segment.spec.offer else set(),
        "value": {value} if value else set(),
    }
    every = sorted(set().union(*tags_of.values()))
    return {tag: frozenset(use for use, tags in tags_of.items() if tag in tags) for tag in every}


def published_tags(segment: Segment) -> list[str]:
    """Give the tags whose values a segment publishes, judges suitability by or ranks contacts by, sorted."""
    return [tag for tag, uses in tag_uses(segment).items() if uses & {"column", "offer", "value"}]


def rank_leaves(segment: Segment) -> list[RankLeaf]:
    """Give the leaves by which a segment ranks people."""
    return [leaf for leaf in all_leaves(segment) if isinstance(leaf, RankLeaf)]


def ranked_tags(segment: Segment) -> list[str]:
    """Give the tags by whose values a segment ranks people, sorted."""
    return sorted({leaf.tag for leaf in rank_leaves(segment)})


def value_tags(segment: Segment) -> list[str]:
    """Give the tags whose values stand in the leaf table: published, ranked by, or measured over people, sorted."""
    return sorted({*published_tags(segment), *ranked_tags(segment), *measured_tags(segment)})


def compile_leaf_table(
    segments: Iterable[Segment], *, business_date: date, policy: Policy | None
) -> LeafTable:
    """Give the Spark SQL of the leaf table of several segments.

    One row per OneID with a tag row; columns: ``one_id``, the facts suppression needs, ``leaf_…`` (boolean, null
    is unknown) and ``value_<tag>``. Lists are read from the temporary view ``segment_lists``. Without a policy the facts of
    suppression are left out.
    """
    every = list(segments)
    leaves: dict[str, Leaf] = {leaf.column: leaf for s in every for leaf in read_leaves(s)}
    values = sorted({tag for s in every for tag in value_tags(s)})
    facts = (
        person_facts_sql(every, policy=policy, business_date=business_date) if policy is not None else None
    )
    title = ", ".join(s.code + " " + s.version for s in every)
    return compile_leaves(leaves, values, facts, business_date, title)


def compile_leaves(
    leaves: Mapping[str, Leaf],
    values: Sequence[str],
    facts: PersonFactsSql | None,
    business_date: date,
    title: str,
) -> LeafTable:
    """Give the Spark SQL of a leaf table of these leaves, by their columns, and of the values of these tags.

    Without ``facts`` those of suppression are left out; ``title`` is named in the first line.
    """
    tag_leaves = {c: leaf for c, leaf in leaves.items() if isinstance(leaf, TagLeaf)}
    event_leaves = {c: leaf for c, leaf in leaves.items() if isinstance(leaf, EventLeaf)}
    list_leaves = {c: leaf for c, leaf in leaves.items() if isinstance(leaf, ListLeaf)}
    more = leaf_parts(leaves.values(), business_date)
    today = spark_literal(business_date)
    facts = facts or _persons_alone(more, business_date)
    parts = [*facts.parts, *more.parts]
    joins, tables = [*facts.joins, *more.joins], [*facts.tables, *more.columns_of]
    columns_of = {
        table: tuple(sorted({*facts.columns_of.get(table, ()), *more.columns_of.get(table, ())}))
        for table in dict.fromkeys([*facts.columns_of, *more.columns_of])
    }
    if event_leaves:
        parts.append(_events_part(event_leaves, business_date))
        joins.append("LEFT JOIN event_counts ON event_counts.one_id = t.one_id")
        tables.append("trusted.events")
        columns_of["trusted.events"] = tuple(sorted({*event_leaves, *columns_of.get("trusted.events", ())}))
    if list_leaves:
        parts.append(_lists_part(list_leaves))
        joins.append("LEFT JOIN list_members ON list_members.one_id = t.one_id")
    for days in _looking_back(tag_leaves.values()):
        tags = sorted({leaf.tag for leaf in tag_leaves.values() if days in _days_of(leaf)})
        parts.append(_snapshot_part(days, tags, business_date))
        joins.append(f"LEFT JOIN before_{days} ON before_{days}.one_id = t.one_id")
        tables.append(DAILY_TABLE)
    on_tags = [column for column, leaf in leaves.items() if leaf.tags and not isinstance(leaf, RankLeaf)]
    columns_of[TAG_TABLE] = tuple(sorted([*on_tags, *(value_column(tag) for tag in values)]))
    columns = [
        "t.one_id",
        *facts.columns,
        *(f"{tag_leaf_sql(leaf, today)} AS {column}" for column, leaf in sorted(tag_leaves.items())),
        *(f"{_event_sql(column, leaf)} AS {column}" for column, leaf in sorted(event_leaves.items())),
        *(f"coalesce(list_members.{column}, false) AS {column}" for column in sorted(list_leaves)),
        *(f"{leaf_sql.answer} AS {column}" for column, leaf_sql in sorted(more.answers.items())),
        *(f"t.`{tag}` AS {value_column(tag)}" for tag in values),
    ]
    head = f"-- Leaf table of {title} as of {business_date}\n"
    text = (
        f"{head}WITH "
        + ",\n".join(parts)
        + "\nSELECT\n  "
        + ",\n  ".join(columns)
        + f"\nFROM {TAG_TABLE} t\n"
        + "\n".join(joins)
    )
    return LeafTable(text, tuple(dict.fromkeys([TAG_TABLE, *tables])), columns_of)


def _persons_alone(more: LeafParts, business_date: date) -> PersonFactsSql:
    """Give what leaves alone expect beside the tags: profiles with their OneIDs and, for receipts, the answers."""
    parts = [f"persons AS (\n  {PERSONS_SQL})"]
    tables = [MEMBERSHIPS, "identity.redirects"]
    if more.needs_receipts:
        parts.append(f"answers AS (\n  {receipts_sql(lake_place(business_date))})")
        tables += ["identity.inheritances", "trusted.receipts", "segments.recipients", "segments.deliveries"]
    return PersonFactsSql(tuple(parts), (), (), tuple(tables), {})


def tag_leaf_sql(leaf: TagLeaf, today: str) -> str:
    """Give the Spark SQL of the answer of a leaf about the tag's column of ``t``; ``today`` is a Spark SQL date."""
    column = f"t.`{leaf.tag}`"
    tests = []
    for test in leaf.tests:
        before = f"before_{test.operand}.`{leaf.tag}`" if test.operator == "changed_since" else ""
        tests.append(test_sql(test, column, business_date=today, before=before))
    return "(" + " AND ".join(tests) + ")"


def _event_sql(column: str, leaf: EventLeaf) -> str:
    return "(" + comparison_sql(f"coalesce(event_counts.{column}, 0)", leaf.count) + ")"


def _events_part(leaves: dict[str, EventLeaf], business_date: date) -> str:
    names = sorted({name for leaf in leaves.values() for name in leaf.names})
    longest = max(leaf.within_days for leaf in leaves.values())
    today, first = spark_literal(business_date), spark_literal(business_date - timedelta(days=longest - 1))
    counts = []
    for column, leaf in sorted(leaves.items()):
        begins = spark_literal(business_date - timedelta(days=leaf.within_days - 1))
        leaf_names = spark_literals(sorted(leaf.names))
        conditions = [f"e.event_name IN ({leaf_names})", f"e.occurred_on >= {begins}"]
        conditions += [f"e.{key} = {spark_literal(value)}" for key, value in leaf.filters]
        counts.append(f"count(CASE WHEN {' AND '.join(conditions)} THEN 1 END) AS {column}")
    all_names = spark_literals(names)
    return (
        "event_counts AS (\n  SELECT p.one_id,\n    "
        + ",\n    ".join(counts)
        + "\n  FROM trusted.events e JOIN persons p ON p.source = e.source AND p.source_key = e.source_key\n"
        f"  WHERE e._arrived_on <= {today} AND e.occurred_on BETWEEN {first} AND {today}\n"
        f"    AND e.event_name IN ({all_names})\n  GROUP BY p.one_id)"
    )


def _lists_part(leaves: dict[str, ListLeaf]) -> str:
    flags = ",\n    ".join(
        f"bool_or(l.list = {spark_literal(leaf.reference)}) AS {column}"
        for column, leaf in sorted(leaves.items())
    )
    return (
        "list_members AS (\n  SELECT coalesce(m.to_one_id, l.one_id, p.one_id) AS one_id,\n    "
        + flags
        + f"\n  FROM {LIST_VIEW} l LEFT JOIN persons p ON p.source = l.source AND p.source_key = l.source_key\n"
        "  LEFT JOIN identity.redirects m ON m.from_one_id = l.one_id\n"
        "  WHERE coalesce(l.one_id, p.one_id) IS NOT NULL\n  GROUP BY 1)"
    )


def _snapshot_part(days: int, tags: list[str], business_date: date) -> str:
    values = ", ".join(f"struct(`{tag}` AS value) AS `{tag}`" for tag in tags)
    earlier = spark_literal(business_date - timedelta(days=days))
    return f"before_{days} AS (\n  SELECT one_id, {values} FROM {DAILY_TABLE} WHERE as_of = {earlier})"


def _days_of(leaf: TagLeaf) -> set[int]:
    return {test.operand for test in leaf.tests if test.operator == "changed_since"}


def _looking_back(leaves: Iterable[TagLeaf]) -> list[int]:
    return sorted({days for leaf in leaves for days in _days_of(leaf)})


def segment_sql(segment: Segment, *, business_date: date, policy: Policy) -> str:
    """Give one segment's SQL to read: its own leaf table, then the logic on it."""
    leaf_table = compile_leaf_table([segment], business_date=business_date, policy=policy)

    def column_of(leaf: Leaf) -> str:
        if isinstance(leaf, SegmentLeaf):
            return f"(one_id IN (SELECT one_id FROM members_{leaf.segment}))"
        if isinstance(leaf, SampleLeaf):
            return f"({salted_bucket_sql(spark_literal(leaf.salt), 'one_id')} < {leaf.buckets})"
        return leaf.column

    rows = rank_sql(
        rank_leaves(segment),
        segment.ranked_group,
        "leaf_table",
        column_of,
        lambda salt: f"sha2(concat({spark_literal(salt)}, '|', one_id), 256)",
    )
    rule = logic_sql(segment.rule, column_of)
    candidate = {"include": "coalesce(answer, true)"}.get(segment.unknown, "answer")
    reason, channel = reason_sql(segment), channel_sql(segment)
    if segment.is_collective:
        return (
            f"{leaf_table.sql};\n\n{_entity_text(segment, rows, rule, candidate, business_date, column_of)}"
        )
    return (
        f"{leaf_table.sql};\n\n-- Rule and suppression, on the leaf table\nSELECT one_id,\n"
        f"  {reason} AS reason,\n  {channel} AS channel\n"
        f"FROM (SELECT *, {rule} AS answer FROM {rows})\nWHERE {candidate}"
    )


def _entity_text(
    segment: Segment,
    rows: str,
    rule: str,
    candidate: str,
    business_date: date,
    column_of: Callable[[Leaf], str],
) -> str:
    """Give the SQL of a segment of companies or households to read, from its leaf table on."""
    queries = entity_sql(
        segment, belonging="belonging", leaves="leaves", reason=reason_sql(segment), column_of=column_of
    )
    choice = f"SELECT entity_key FROM (SELECT *, {rule} AS answer FROM answers) WHERE {candidate}"
    return (
        f"-- The people of each {segment.spec.entity}, its rule, and who is contacted for it\n"
        f"WITH persons AS (\n  {PERSONS_SQL}),\n"
        f"belonging AS (\n  {entity_people_sql(segment.spec.entity, lake_place(business_date))}),\n"
        f"leaves AS (SELECT * FROM {rows}),\npeople AS (\n{queries.people}),\n"
        f"answers AS (\n{queries.answers('people')}),\n"
        f"addressees AS (\n{queries.addressees('people', choice)})\n"
        f"SELECT DISTINCT l.one_id,\n  {reason_sql(segment)} AS reason,\n  {channel_sql(segment)} AS channel\n"
        "FROM addressees a JOIN leaves l ON l.one_id = a.one_id"
    )
