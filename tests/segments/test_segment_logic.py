"""Three-valued logic, operators, buckets and hashes: all that decides without reading data."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_bank import spec

from lakehouse.query.words import spark_literal
from segments.language import operators
from segments.language.conditions import All, Any_, ListLeaf, Not, decide, logic_sql, possible_sql
from segments.language.operators import Test, answer, operand_fault, type_fault
from segments.language.spec import read_segment, version_matches
from vocabulary.buckets import BUCKETS, bucket, bucket_duckdb_sql

D = dt.date(2026, 11, 18)
A, B = ListLeaf("a", "1"), ListLeaf("b", "1")
WORDS = {"T": True, "F": False, "U": None}


@pytest.mark.parametrize(
    "table",
    [
        # rows: A B → and, or, not A
        "T T T T F", "T F F T F", "T U U T F",
        "F T F T T", "F F F F T", "F U F U T",
        "U T U T U", "U F F U U", "U U U U U",
    ],
)  # fmt: skip
def test_the_connectives_follow_kleene_in_python_and_in_sql(table):
    a, b, both, either, negated = (WORDS[sign] for sign in table.split())
    values = {A.column: a, B.column: b}
    answers = {All((A, B)): both, Any_((A, B)): either, Not(A): negated}
    columns = ", ".join(
        f"{spark_literal(v) if v is not None else 'NULL'}::BOOLEAN AS {n}" for n, v in values.items()
    )
    for node, expected in answers.items():
        assert decide(node, lambda leaf: values[leaf.column]) is expected
        sql = logic_sql(node, lambda leaf: leaf.column)
        assert duckdb.connect().execute(f"SELECT {sql} FROM (SELECT {columns})").fetchone()[0] is expected


KINDS = [ListLeaf(name, "1", include_unknown=unknown) for name in "ab" for unknown in (None, True, False)]
TREES = st.recursive(
    st.sampled_from(KINDS),
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(parts, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(TREES)
@settings(deadline=None)
def test_what_is_possible_is_true_or_unknown(tree):
    sql = possible_sql(tree, lambda leaf: leaf.column)
    connection = duckdb.default_connection()
    for a, b in itertools.product(WORDS.values(), repeat=2):
        values = {leaf.column: a if leaf.name == "a" else b for leaf in KINDS}
        columns = ", ".join(
            f"{'NULL' if value is None else str(value).lower()}::BOOLEAN AS {name}"
            for name, value in values.items()
        )
        possible = connection.execute(f"SELECT {sql} FROM (SELECT {columns})").fetchone()[0]
        assert possible is (decide(tree, lambda leaf, values=values: values[leaf.column]) is not False)


def test_include_unknown_overrides_one_leaf_only():
    kind = ListLeaf("a", "1", include_unknown=True)
    assert decide(All((kind, B)), lambda leaf: None) is None
    assert decide(Any_((kind, B)), lambda leaf: None) is True
    assert decide(Not(kind), lambda leaf: None) is False


ANSWERS = """
eq           | 5                  | 5.0                       | T
eq           | 0.3                | Decimal('0.30')           | T
ne           | 'T1'               | 'T2'                      | T
ne           | 'T1'               | None                      | U
in           | ['T1', 'T2']       | 'T2'                      | T
not_in       | ['T1', 'T2']       | 'T3'                      | T
not_in       | ['T1', 'T2']       | None                      | U
between      | [1, 9]             | 9                         | T
between      | [1, 9]             | 1                         | T
between      | [1, 9]             | Decimal('0.99')           | F
between      | [1, 9]             | Decimal('9.01')           | F
gte          | 100                | Decimal('99.99')          | F
contains_any | ['A', 'B']         | ['B', 'C']                | T
contains_any | ['A']              | []                        | F
contains_all | ['A', 'B']         | ['B', 'C']                | F
is_null      | True               | None                      | T
is_null      | False              | None                      | F
days_ago     | {'gte': 3}         | dt.date(2026, 11, 15)     | T
days_ago     | {'gte': 3}         | dt.date(2026, 11, 16)     | F
days_ago     | {'lt': 3}          | None                      | U
"""


@pytest.mark.parametrize("line", ANSWERS.strip().splitlines())
def test_an_operator_answers_true_false_or_unknown(line):
    name, operand, value, expected = (cell.strip() for cell in line.split("|"))
    test = Test(name, eval(operand))
    assert answer(test, eval(value), business_date=D) is WORDS[expected]


def test_a_change_is_unknown_where_the_earlier_day_was_not_kept():
    test = Test("changed_since", 7)
    assert answer(test, "T2", business_date=D) is None
    assert answer(test, "T2", business_date=D, before="T1", has_before=True) is True
    assert answer(test, ["A", "B"], business_date=D, before=["B", "A"], has_before=True) is False
    assert answer(test, None, business_date=D, before=None, has_before=True) is False


def test_an_operator_that_does_not_fit_the_type_is_refused():
    assert "not on a boolean" in type_fault("gt", "boolean", 1)
    assert "is not a number" in type_fault("gt", "number", "many")
    assert "is not a category" in type_fault("eq", "category", 3)
    assert type_fault("between", "number", [1, Decimal("2.5")]) is None
    assert type_fault("contains_any", "set", [3]) == "3 is not a member of a set"


@pytest.mark.parametrize("operand", [None, [1], {"gte": 1}])
def test_an_operator_of_one_value_takes_one(operand):
    assert operand_fault("eq", operand) == "'eq' takes one value"
    assert operand_fault("is_null", None) is not None
    assert operand_fault("eq", 1) is None


@pytest.mark.parametrize(
    ("name", "operand", "sql"),
    [
        ("in", ["T1", "T2"], "c IN ('T1', 'T2')"),
        ("not_in", ["T1"], "c NOT IN ('T1')"),
        ("between", [1, 9], "c BETWEEN 1 AND 9"),
        ("is_null", True, "c IS NULL"),
        ("is_null", False, "c IS NOT NULL"),
        ("gte", 5, "c >= 5"),
        ("days_ago", {"gte": 3, "lt": 9}, "datediff(d, c) >= 3 AND datediff(d, c) < 9"),
        ("days_ago", {"between": [3, 9]}, "datediff(d, c) BETWEEN 3 AND 9"),
        ("changed_since", 7, "CASE WHEN b IS NOT NULL THEN NOT (c <=> b.value) END"),
    ],
)
def test_an_operator_asks_in_sql_what_it_answers_in_python(name, operand, sql):
    assert operators.test_sql(Test(name, operand), "c", business_date="d", before="b") == sql


VECTORS = [
    ("GCG-2025H1", 1000000000001, 4376),
    ("GCG-2025H1", 1000000000002, 8356),
    ("EXP-WEALTH-01", 1000000000001, 1742),
]


@pytest.mark.parametrize(("salt", "one_id", "expected"), VECTORS)
def test_buckets_meet_the_vectors(salt, one_id, expected):
    assert bucket(salt, one_id) == expected
    sql = f"SELECT {bucket_duckdb_sql(salt, 'n')} FROM (SELECT {one_id}::BIGINT AS n)"
    assert duckdb.connect().execute(sql).fetchone()[0] == expected


def test_growing_a_percentage_only_adds_people_and_salts_do_not_nest():
    people = range(1, 4001)
    five = {n for n in people if bucket("rollout:x", n) < 500}
    ten = {n for n in people if bucket("rollout:x", n) < 1000}
    held = {n for n in people if bucket("holdout:x", n) < 1000}
    assert five < ten and 150 < len(five) < 250
    assert 5 < len(five & held) < 40  # about a tenth of the rollout, not all of it
    assert all(0 <= bucket("s", n) < BUCKETS for n in people)


@pytest.mark.parametrize(
    ("wish", "meets"),
    [
        ("*", True),
        ("2", True),
        ("2.1", True),
        (">=1 <2", False),
        (">=2 <3", True),
        ("2.1.1", False),
        ("<=2.1.0", True),
    ],
)
def test_a_version_wish_is_met_or_not(wish, meets):
    assert version_matches("2.1.0", wish) is meets


def test_a_wish_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no version wish"):
        version_matches("2.1.0", "newest")


def write(folder, text):
    file = folder / "x.yml"
    file.write_text(text)
    return read_segment(file)


def test_the_definition_hash_ignores_order_and_text_but_not_meaning(tmp_path):
    body = "where: {all: [{tag: tier, in: [T1, T2]}, {tag: balance, gte: 5}]}"
    first = write(tmp_path, spec("x", body))
    other = write(
        tmp_path,
        spec("x", "where: {all: [{tag: balance, gte: 5}, {tag: tier, in: [T2, T1]}]}").replace(
            "Test}", "Best}"
        ),
    )
    assert first.definition_hash == other.definition_hash
    for changed in (body.replace("5", "6"), body.replace("all", "any"), "unknown: include\n" + body):
        assert write(tmp_path, spec("x", changed)).definition_hash != first.definition_hash
    assert write(tmp_path, spec("x", "unknown: exclude\n" + body)).definition_hash == first.definition_hash


def test_equal_questions_of_two_segments_share_a_column(tmp_path):
    one = write(tmp_path, spec("x", "where: {tag: tier, in: [T1, T2]}"))
    two = write(tmp_path, spec("x", "where: {any: [{tag: tier, in: [T2, T1], include_unknown: true}]}"))
    assert one.where.column == two.where.parts[0].column
