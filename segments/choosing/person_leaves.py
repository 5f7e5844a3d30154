"""One leaf asked of one person: the SQL of the leaf table over that person's rows alone, for explanations."""

from __future__ import annotations

from datetime import date

from lakehouse.query.words import spark_literal
from segments.choosing.leaf_tables import translated_sql
from segments.choosing.leaves.parts import leaf_parts
from segments.language.conditions import Leaf
from vocabulary.contact_rules import lake_place, receipts_sql

TAG_TABLE = "tags.customer_tags"


def one_person_sql(leaf: Leaf, one_id: int, business_date: date) -> str:
    """Give DuckDB's SQL of one row: the answer of a leaf over rows, sequences, dates or expressions, and what it rests on."""
    more = leaf_parts([leaf], business_date)
    person = spark_literal(one_id)
    persons = f"SELECT one_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL AND one_id = {person}"
    parts = [f"persons AS (\n  {persons})"]
    if more.needs_receipts:
        answers = f"SELECT * FROM ({receipts_sql(lake_place(business_date))}) WHERE one_id = {person}"
        parts.append(f"answers AS (\n  {answers})")
    sql = more.answers[leaf.column]
    joins = "\n".join(more.joins)
    return translated_sql(
        f"WITH {', '.join([*parts, *more.parts])}\n"
        f"SELECT {sql.answer} AS answer, cast({sql.evidence} AS string) AS evidence\n"
        f"FROM {TAG_TABLE} t\n{joins}\nWHERE t.one_id = {person}",
        {},
    )
