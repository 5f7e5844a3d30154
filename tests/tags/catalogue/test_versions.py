"""``cdp tags diff``: who moves between two versions of a tag, computed by DuckDB over a published lake."""

from __future__ import annotations

import datetime as dt
import json
import textwrap

import pytest

import tags
from jobs.cli import run
from lakehouse.contracts.reading import contract
from lakehouse.ledger.ledger import publish
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.definitions import definition_rows, definitions_after
from tests.tags.drawn import draw
from vocabulary.registry import load_registry

D = dt.date(2026, 3, 31)
GROWN = """\
family: own
tags:
  - code: is_grown
    name: {zh: 成年, en: Grown}
    definition: {zh: 定义, en: Old enough}
    kind: rule
    value: {type: boolean}
    null_rule: U
    level: C1
    declassified: {to: C1, why: a band of many years, approver: privacy}
    purposes: [marketing]
    params: [{name: grown, value: 18}]
    inputs: ["tag:age", "param:grown"]
    compute:
      expression: age >= :grown
    owner: {business: branches, tech: data}
    version: 1.0.0
    status: online
  - code: birth_year
    name: {zh: 出生年, en: Year of birth}
    definition: {zh: 定义, en: The year}
    kind: fact
    value: {type: int}
    null_rule: U
    level: C2
    purposes: [marketing]
    inputs: [trusted.customers.birth_date, trusted.customers.source_key]
    compute:
      latest: {from: trusted.customers, of: year(birth_date), order_by: [source_key]}
    owner: {business: branches, tech: data}
    version: 1.0.0
    status: online
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace whose newest night published the definitions above, with five people of whom one has no birthday."""
    folder = tmp_path_factory.mktemp("versions")
    (folder / "tags").mkdir()
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    (folder / "tags" / "own.yml").write_text(GROWN)
    lake = open_lake(load_settings(folder))
    lake.run_id = "night"
    people = "".join(f"| {at} | {at} | 2026-01-01 | customer | active | 1 |\n" for at in range(1, 6))
    draw(
        lake,
        "identity.one_ids",
        f"| one_id | anchor_profile_id | created_on | kind | status | profile_count |\n{people}",
    )
    members = "".join(f"| {at} | bank | p{at} | {at} |\n" for at in range(1, 6))
    draw(lake, "identity.memberships", f"| one_id | source | source_key | profile_id |\n{members}")
    draw(lake, "trusted.customers", """
        | source_key | kind     | birth_date | registered_on |
        | p1         | customer | 2009-01-01 | 2020-01-01    |
        | p2         | customer | 2008-03-31 | 2020-01-01    |
        | p3         | customer | 2000-01-01 | 2020-01-01    |
        | p4         | customer | 1950-01-01 | 2020-01-01    |
        | p5         | customer | -          | 2020-01-01    |
    """)  # fmt: skip
    registry = load_registry(folder, shipped=tags.REGISTRY)
    import pyarrow as pa

    rows = definition_rows(definitions_after([], registry, D))
    lake.overwrite(
        "tags.definitions", pa.Table.from_pylist(rows, schema=contract("tags.definitions").arrow_schema())
    )
    publish(lake, D, "fingerprint", {})
    return folder


@pytest.fixture
def diff(workspace, capsys):
    """A function that edits the tag file and asks for a diff; gives exit code, answer and messages."""

    def call(*arguments, edits=()):
        text = GROWN
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (workspace / "tags" / "own.yml").write_text(textwrap.dedent(text))
        capsys.readouterr()
        code = run(["tags", "diff", *arguments, "--format", "json", "--workspace", str(workspace)])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return call


@pytest.mark.slow
def test_a_threshold_moves_exactly_those_between_the_old_and_the_new_one(diff, workspace):
    edits = [("value: 18", "value: 17"), ("expression: age >= :grown\n    owner: {business: branches, tech: data}\n    version: 1.0.0", "expression: age >= :grown\n    owner: {business: branches, tech: data}\n    version: 1.1.0")]  # fmt: skip
    before = table_hash(load_settings(workspace), "tags.definitions")
    code, answer, messages = diff("is_grown@1.0.0", "is_grown@1.1.0", edits=edits)
    assert code == 0, messages
    assert answer["moves"] == [{"before": "false", "after": "true", "people": 1}]
    assert answer["people"] == [{"one_id": 1, "before": "false", "after": "true"}]
    assert (answer["people_count"], answer["moved_count"], answer["first_null_count"]) == (5, 1, 1)
    assert answer["changes"] == {"thresholds": ["params"]}
    lines = (workspace / "audit" / "lookups.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["command"] == "tags diff" and json.loads(lines[-1])["one_ids"] == [1]
    assert table_hash(load_settings(workspace), "tags.definitions") == before
    assert list((workspace / ".cdp").glob("versions-*")) == []


@pytest.mark.slow
def test_a_code_alone_compares_what_was_published_with_the_file(diff):
    code, answer, messages = diff("成年", edits=[("expression: age >= :grown", "expression: age > :grown")])
    assert code == 0, messages
    assert answer["moves"] == [{"before": "true", "after": "false", "people": 1}]
    assert (answer["first"], answer["second"]) == ("is_grown@1.0.0", "is_grown@1.0.0")
    assert answer["changes"] == {"meaning": ["compute"]}


@pytest.mark.slow
def test_what_is_read_from_rows_is_computed_from_them(diff):
    edits = [("of: year(birth_date)", "of: year(birth_date) + 1")]
    code, answer, messages = diff("birth_year", "--people", "0", edits=edits)
    assert code == 0, messages
    assert answer["people"] == []
    assert answer["moved_count"] == 4
    assert {(row["before"], row["after"]) for row in answer["moves"]} == {
        ("2009", "2010"), ("2008", "2009"), ("2000", "2001"), ("1950", "1951"),
    }  # fmt: skip


@pytest.mark.slow
def test_too_many_values_are_told_by_the_way_they_moved(diff, monkeypatch):
    monkeypatch.setattr("tags.build.versions.MOST_VALUES", 3)
    edits = [("of: year(birth_date)", "of: case when year(birth_date) < 2001 then year(birth_date) - 1 end")]
    _, answer, messages = diff("birth_year", edits=edits)
    assert messages == ""
    assert answer["moves"] == [
        {"before": "value", "after": "lower", "people": 2}, {"before": "value", "after": None, "people": 2},
    ]  # fmt: skip


@pytest.mark.slow
def test_two_tags_are_compared_as_well(diff):
    _, answer, messages = diff("is_grown", "birth_year")
    assert messages == ""
    assert answer["moved_count"] == 4 and answer["people_count"] == 5


@pytest.mark.slow
def test_a_tag_that_is_never_shown_tells_no_value_and_nobody(diff):
    edits = [
        ("purposes: [marketing]\n    params", "purposes: [risk_only]\n    params"),
        ("value: 18", "value: 17"),
    ]
    code, answer, messages = diff("is_grown", edits=edits)
    assert code == 0, messages
    assert answer["people"] == [] and answer["moves"] == [{"before": "value", "after": "other", "people": 1}]


@pytest.mark.parametrize(
    ("arguments", "edits", "sentence"),
    [
        (["is_grown@9.9.9"], [], "the tag 'is_grown' has no version '9.9.9'; there are 1.0.0"),
        (["is_gron@1.0.0"], [], "there is no tag 'is_gron'; did you mean 'is_grown'?"),
        (["@"], [], "there is no tag ''"),
        (["is_grown@"], [], "'is_grown@' names no version; write is_grown@1.0.0, or is_grown for that of the workspace's file"),
        (["is_grown@1.0.0", "is_grown@ "], [], "'is_grown@ ' names no version"),
        (["is_grown", "--date", "2020-01-01"], [], "2020-01-01"),
        (["is_grown"], [("age >= :grown", "agee >= :grown")], "unknown tag 'agee'"),
        (["is_grown"], [("    compute:\n      expression: age >= :grown\n", ""), ("18}]", "18}]")], "has no 'compute'"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(diff, arguments, edits, sentence):
    code, answer, messages = diff(*arguments, edits=edits)
    assert (code, answer) == (2, None) and sentence in messages and messages.count("\n") == 1, messages
