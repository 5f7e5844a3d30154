"""What a plan says of tags of products and employees: which moved, by source and key, and no employee by number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jobs.planning.plan import ChangePlan
from jobs.planning.tag_moves import tag_moves
from jobs.planning.wording import tag_lines
from lakehouse.query.desk import open_scratch
from vocabulary.tag_facts import TagFacts

ROWS = {
    "tags.customer_tags": (("(1::BIGINT, 30)", "(2::BIGINT, 40)"), ("(1::BIGINT, 30)", "(2::BIGINT, 40)"), "one_id, age"),
    "tags.product_tags": (
        ("('bank', 'p1', 5)", "('crm', 'p1', 5)"), ("('bank', 'p1', 5)", "('crm', 'p1', 6)"), "source, product_id, holders",
    ),
    "tags.employee_tags": (("('bank', '13800138000', 'A')",), ("('bank', '13800138000', 'B')",), "source, employee_id, desk"),
}  # fmt: skip
FACTS = {
    "age": TagFacts("age", "number"),
    "holders": TagFacts("holders", "number", entity="product"),
    "desk": TagFacts("desk", "category", entity="employee", level="C2"),
}


@pytest.fixture
def both():
    """The published tables and those of the clone at one desk; branches have none."""

    def pair(table):
        before, after, columns = ROWS[table]
        return tuple(f"(SELECT * FROM (VALUES {', '.join(rows)}) v({columns}))" for rows in (before, after))

    with open_scratch() as desk:
        yield SimpleNamespace(
            desk=desk, pair_as_is=pair, **{name: SimpleNamespace(exists=ROWS.__contains__) for name in ("published", "clone")}
        )  # fmt: skip


def test_a_product_of_another_source_is_another_and_no_employee_is_named(both):
    moves = {move.tag: move for move in tag_moves(both, FACTS, people=3)}
    assert set(moves) == {"holders", "desk"}
    assert moves["holders"].people == [{"key": "crm/p1", "before": "5", "after": "6"}]
    assert (moves["desk"].moved, moves["desk"].people) == (1, [])
    text = "\n".join(tag_lines(list(moves.values())))
    assert "for example crm/p1: 5 → 6" in text and "13800138000" not in text


def test_who_is_shown_are_people(both):
    plan = SimpleNamespace(tags=tag_moves(both, FACTS, people=3), audiences=None, people=None)
    assert ChangePlan.one_ids.fget(plan) == []
