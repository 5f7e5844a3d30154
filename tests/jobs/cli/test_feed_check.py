"""``cdp feeds check`` tells which columns a sample leaves empty, as the night would count them."""

from __future__ import annotations

import json

import pytest

from jobs.cli import run

FEED = """\
feed: members
source: shop
description: Members.
mode: snapshot
files: {path: "members/{date}/members.csv"}
columns: [no, born, joined]
targets:
  - table: trusted.customers
    columns:
      source_key: no
      kind: "'customer'"
      birth_date: "try_to_date(born, 'dd.MM.yyyy')"
      registered_on: joined
"""
MEMBERS = "no,born,joined\nM1,1988-03-05,2024-05-01\nM2,01.02.1990,soon\nM3,,\n"


@pytest.fixture
def workspace(make_workspace):
    """A workspace whose feed reads birth dates by another pattern than they are delivered in."""
    folder = make_workspace({"feeds/members.yml": FEED})
    (folder / "inbox" / "members" / "2026-01-05").mkdir(parents=True)
    (folder / "inbox" / "members" / "2026-01-05" / "members.csv").write_text(MEMBERS, encoding="utf-8")
    return folder


def test_values_that_are_left_empty_are_told_with_their_column_and_reason(workspace, capsys):
    assert run(["feeds", "check", "members", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "3 accepted, 0 refused" in said
    for name in ("birth_date", "registered_on"):
        assert f"  trusted.customers.{name}: 1 of 3 records, unreadable (cannot be read as its type)" in said


def test_they_are_told_to_programs_too(workspace, capsys):
    assert run(["feeds", "check", "members", "--format", "json", "--workspace", str(workspace)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "birth_date" in str(rows) and "unreadable" in str(rows)


OBSERVATIONS = """\
  - table: trusted.identifier_observations
    columns:
      source_key: no
      namespace: {namespace}
      value: no
      role: "'identity'"
      verified: "true"
"""


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        ("\"'phon'\"", "no rule speaks of the namespace 'phon'"),
        ("\"'phon'\"", "did you mean 'phone'?"),
        (
            "\"case when born is null then 'email' else 'custmer_no@shop' end\"",
            "declare 'custmer_no@*' below",
        ),
        ("\"'customer_no'\"", "write 'customer_no@<name>'"),
    ],
)
def test_a_namespace_without_a_rule_is_refused_at_its_line_by_the_check_and_before_a_night(
    workspace, capsys, namespace, words
):
    (workspace / "feeds" / "members.yml").write_text(FEED + OBSERVATIONS.format(namespace=namespace))
    for command in (["feeds", "check", "members"], ["nightly", "--date", "2026-01-05"]):
        assert run([*command, "--workspace", str(workspace)]) == 2
        sentence = capsys.readouterr().err
        assert "members.yml:17: " in sentence and words in sentence


def test_a_namespace_that_a_rule_or_the_workspace_knows_passes(workspace, capsys):
    text = FEED + OBSERVATIONS.format(namespace="\"concat('customer_no@', lower(no))\"")
    (workspace / "feeds" / "members.yml").write_text(
        text.replace("concat('customer_no@', lower(no))", "'loyalty@shop'")
    )
    (workspace / "identity.yml").write_text("namespaces:\n  loyalty@*: {kind: account}\n")
    assert run(["feeds", "check", "members", "--workspace", str(workspace)]) == 0
    (workspace / "feeds" / "members.yml").write_text(text)
    assert run(["feeds", "check", "members", "--workspace", str(workspace)]) == 0


def test_rules_that_leave_out_a_shipped_namespace_mean_it(workspace):
    (workspace / "feeds" / "members.yml").write_text(FEED + OBSERVATIONS.format(namespace="\"'email'\""))
    (workspace / "identity.yml").write_text("extends: nothing\nnamespaces: {phone: {kind: person}}\n")
    assert run(["feeds", "check", "members", "--workspace", str(workspace)]) == 0
