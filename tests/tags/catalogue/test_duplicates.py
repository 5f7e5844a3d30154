"""Near duplicates: entries of one normal form, and columns that are equal on over 99 % of people. Plain values and one table, no Spark."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.query.desk import open_alone
from tags.compile.compilation import compile_tags
from tags.compile.normal_form import normal_form
from tags.compile.places import REGISTRY
from tags.duplicates import SKETCH, _equal_answers, duplicate_tags
from vocabulary.registry import Entry, Registry, load_registry


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a = 1 and b = 2", "(b = 2)  AND a = 1"),
        ("a = 1 and (b = 2 and c = 3)", "a = 1 and b = 2 and c = 3"),
        ("a in ('x', 'y')", "a IN ('y','x', 'x')"),
        ("a > 5", "5 < a"),
        ("a + b + 1", "1 + (a + b)"),
        ("a = 1 or a = 1", "a = 1"),
        ("b <> a", "a <> b"),
        ("case when a >= 1 then 'x' end", "CASE WHEN 1 <= a THEN 'x' END"),
    ],
)
def test_expressions_that_ask_the_same_have_one_form(first, second):
    assert normal_form(first) == normal_form(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a - b", "b - a"),
        ("a and b or c", "a and (b or c)"),
        ("a > 5", "a >= 5"),
        ("a > 5", "5 > a"),
        ("a = 'X'", "a = 'x'"),
        ("a + a", "a"),
        ("a = '1'", "a = 1"),
        ("case when a then 1 when b then 2 end", "case when b then 2 when a then 1 end"),
        ("not (a = 1)", "a = 1"),
    ],
)
def test_expressions_that_ask_something_else_have_other_forms(first, second):
    assert normal_form(first) != normal_form(second)


RULE = """\
  - code: {code}
    name: {{zh: 标签, en: Tag {code}}}
    definition: {{zh: 定义, en: A rule}}
    kind: rule
    value: {{type: boolean}}
    null_rule: U
    level: C2
    purposes: [marketing]
    params: [{{name: {name}, value: {value}}}]
    inputs: ["tag:age", "param:{name}"]
    compute: {{expression: "{expression}"}}
    owner: data
    version: 1.0.0
    status: {status}
"""


def rules(*entries):
    return "family: own\ntags:\n" + "".join(RULE.format(**one) for one in entries)


FIRST = {"code": "is_grown", "name": "limit", "value": 18, "expression": "age >= :limit", "status": "online"}
SECOND = {
    "code": "is_of_age",
    "name": "least",
    "value": 18,
    "expression": ":least <= age",
    "status": "online",
}


def test_a_tag_that_asks_the_same_in_other_words_is_refused_with_its_line(make_workspace):
    folder = make_workspace({"tags/own.yml": rules(FIRST, SECOND)})
    with pytest.raises(SettingsInvalid, match="asks the same as the tag 'is_grown'; use that one") as refusal:
        compile_tags(folder)
    assert (Path(refusal.value.file).name, refusal.value.line) == ("own.yml", 27)
    other = make_workspace({"tags/own.yml": rules(FIRST, {**SECOND, "value": 17})}, name="other")
    compile_tags(other)


def test_a_draft_that_asks_the_same_is_listed(make_workspace):
    folder = make_workspace({"tags/own.yml": rules(FIRST, {**SECOND, "status": "draft"})})
    pairs = duplicate_tags(load_registry(folder, shipped=REGISTRY), None)
    assert [(p.first, p.second, p.reason) for p in pairs] == [("is_grown", "is_of_age", "question")]


# ---------------------------------------------------------------------------- answers


def entry(code, kind, **more):
    return Entry.model_validate({
        "code": code, "name": {"zh": code, "en": code}, "definition": {"zh": code, "en": code}, "family": "own", "kind": "fact",
        "value": {"type": kind, "cardinality": more.pop("cardinality", "single")}, "null_rule": "U", "level": "C1",
        "purposes": ["marketing"], "inputs": [], "owner": "data", "version": "1.0.0", "status": "online", **more,
    })  # fmt: skip


class OneTable:
    """What is published: the wide table alone."""

    def __init__(self, desk, rows):
        self.desk = desk
        desk.connection.execute("CREATE SCHEMA tags")
        desk.connection.register("lent", rows)
        desk.connection.execute("CREATE TABLE tags.customer_tags AS SELECT * FROM lent")
        self.schema_of = rows.schema

    def delta(self, table):
        return self

    def schema(self):
        return type("Schema", (), {"fields": list(self.schema_of)})

    def view(self, table):
        return table

    def rows(self, sql):
        return self.desk.rows(sql)


def answers(columns, entries):
    """The pairs of equal columns, as found and as counted over all pairs."""
    people = len(next(iter(columns.values())))
    rows = pa.table({"one_id": list(range(people)), **columns})
    registry = Registry({e.code: e for e in entries}, {})
    with open_alone() as desk:
        return {(p.first, p.second): p for p in _equal_answers(registry, OneTable(desk, rows))}


PEOPLE = 20_000


def test_equal_columns_are_found_and_others_are_not():
    chance = np.random.default_rng(7)
    amounts, shares = chance.integers(0, 10_000, PEOPLE).tolist(), chance.random(PEOPLE).tolist()
    money = [amount if share < 0.7 else None for amount, share in zip(amounts, shares, strict=True)]
    rare = [at % 500 == 0 for at in range(PEOPLE)]
    columns = {
        "money": pa.array(money, pa.int32()),
        "money_as_decimal": pa.array([None if m is None else f"{m}.00" for m in money]).cast(
            pa.decimal128(18, 2)
        ),
        "nearly_money": pa.array([m if at % 200 else 1 for at, m in enumerate(money)], pa.int32()),
        "far_money": pa.array([m if at % 50 else 1 for at, m in enumerate(money)], pa.int32()),
        "is_rare": pa.array(rare),
        "is_rare_too": pa.array(rare),
        "is_rare_but_others": pa.array([at % 500 == 1 for at in range(PEOPLE)]),
        "nothing": pa.array([None] * PEOPLE, pa.int32()),
        "nothing_too": pa.array([None] * PEOPLE, pa.int32()),
        "zero": pa.array([0] * PEOPLE, pa.int32()),
        "letters": pa.array(["a" if at % 3 else "b" for at in range(PEOPLE)]),
        "letters_set": pa.array([["a" if at % 3 else "b"] for at in range(PEOPLE)]),
    }
    kinds = {"money_as_decimal": "decimal", "letters": "string", "letters_set": "string"}
    entries = [
        entry(code, kinds.get(code, "boolean" if code.startswith("is_") else "int"),
              cardinality="set" if code == "letters_set" else "single")
        for code in columns
    ]  # fmt: skip
    pairs = answers(columns, entries)
    assert set(pairs) == {
        ("money", "money_as_decimal"), ("money", "nearly_money"), ("money_as_decimal", "nearly_money"),
        ("is_rare", "is_rare_too"), ("letters", "letters_set"),
    }  # fmt: skip
    filled = sum(m is not None for m in money)
    pair = pairs["money", "money_as_decimal"]
    assert (pair.equal_ratio, pair.first_count, pair.second_count) == (1.0, filled, filled)
    said = sum(bool(m) or at % 200 == 0 for at, m in enumerate(money))
    same = sum(bool(m) and (at % 200 != 0 or m == 1) for at, m in enumerate(money))
    assert pairs["money", "nearly_money"].equal_ratio == same / said


def test_the_sketch_loses_no_pair_near_the_bound():
    """Columns that differ on 0.9 % of people are found, on 1.1 % not, whatever the people."""
    for seed in range(5):
        chance = np.random.default_rng(seed)
        base = chance.integers(1, 50, PEOPLE).tolist()
        order = chance.permutation(PEOPLE).tolist()
        columns = {"base": pa.array(base, pa.int32())}
        for name, share in (("near", 0.009), ("far", 0.011)):
            changes = set(order[: int(PEOPLE * share)])
            columns[name] = pa.array(
                [99 if at in changes else one for at, one in enumerate(base)], pa.int32()
            )
        pairs = answers(columns, [entry(code, "int") for code in columns])
        assert ("base", "near") in pairs and ("base", "far") not in pairs


def test_few_people_are_counted_all():
    columns = {"a": pa.array([1, 2, None]), "b": pa.array([1, 2, None]), "c": pa.array([1, 3, None])}
    assert set(answers(columns, [entry(code, "int") for code in columns])) == {("a", "b")}


def test_a_thousand_columns_are_not_half_a_million_comparisons(monkeypatch):
    """Of columns that have little in common hardly a pair is counted."""
    import tags.duplicates as module

    chance = np.random.default_rng(1)
    columns = {f"c{at}": pa.array(chance.integers(1, 9, SKETCH * 3), pa.int32()) for at in range(150)}
    counts = []
    monkeypatch.setattr(module, "_count", lambda published, rows, pairs: counts.extend(pairs) or iter(()))
    answers(columns, [entry(code, "int") for code in columns])
    assert len(counts) < len(list(combinations(columns, 2))) / 1000
