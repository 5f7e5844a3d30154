"""The SQL of leaves over micro-segments: the number that each set gave a person on the business date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from lakehouse.query.words import spark_literal
from segments.choosing.leaves.sql import LeafSql, Part, text_sql
from segments.language.leaves.micro_segments import TABLE, MicroLeaf

PART = "micro_labels"


def micro_leaf_sql(leaves: Mapping[str, MicroLeaf], business_date: date) -> Part:
    """Give the part of all these leaves, by their columns, with their answers; who is in none of a set is unknown."""
    codes = sorted({leaf.set_code for leaf in leaves.values()})
    columns = [
        f"max(CASE WHEN m.code = {spark_literal(code)} THEN m.label END) AS of_{code}" for code in codes
    ]
    answers = {}
    for column, leaf in leaves.items():
        numbers = ", ".join(str(label) for label in sorted(set(leaf.labels)))
        value = f"{PART}.of_{leaf.set_code}"
        answers[column] = LeafSql(f"({value} IN ({numbers}))", text_sql(value))
    sql = (
        f"SELECT m.one_id, {', '.join(columns)}\n  FROM {TABLE} m\n"
        f"  WHERE m.as_of = {spark_literal(business_date)} GROUP BY m.one_id"
    )
    return Part(PART, sql, answers, tuple(leaves), (TABLE,), needs_owners=False)
