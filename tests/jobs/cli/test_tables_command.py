"""``cdp tables`` lists what is published, as contracts describe it."""

from __future__ import annotations

import json

import pytest

from jobs.cli import run
from tests.published_lake import FEED, publish


@pytest.fixture
def ask(make_workspace, monkeypatch, capsys):
    """A function that runs ``cdp tables`` in a published workspace; gives exit code, rows and messages."""
    folder = make_workspace({"feeds/members.yml": FEED})
    publish(folder)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))

    def call(*arguments):
        code = run(["tables", "--format", "json", *arguments])
        printed = capsys.readouterr()
        return code, [json.loads(line) for line in printed.out.splitlines()], printed.err

    call.folder = folder
    return call


def test_each_published_table_has_its_rows_grain_level_and_description(ask):
    code, rows, _ = ask()
    assert code == 0 and [(row["table"], row["rows"], row["level"]) for row in rows] == [
        ("identity.memberships", 0, "C2"),
        ("landing.members", 2, "C2"),
        ("quality.refused_rows", 1, "C2"),
        ("trusted.customers", 2, "C2"),
        ("trusted.identifier_observations", 2, "C2"),
    ]
    assert rows[2]["grain"] == "one row per feed, file and record"
    assert rows[1]["description"] == "Records of feed members as delivered: Members of the shop."


@pytest.mark.parametrize(
    ("word", "tables"),
    [
        ("IDENTIFIER", ["trusted.customers", "trusted.identifier_observations"]),
        ("raw_text", ["quality.refused_rows"]),
        ("of the shop", ["landing.members"]),
        ("nowhere at all", []),
    ],
)
def test_a_search_reads_names_texts_and_columns(ask, word, tables):
    code, rows, _ = ask("--search", word)
    listed = [row["table"] for row in rows]
    assert (code, listed) == (0, tables)


def test_the_columns_of_a_table_have_type_level_mask_and_description(ask):
    code, rows, _ = ask("Trusted.Identifier_Observations")
    value = next(row for row in rows if row["column"] == "value")
    assert code == 0 and value == {
        "column": "value", "type": "string", "level": "C2", "masked": "yes",
        "description": "the identifier as delivered; never a credential",
    }  # fmt: skip
    assert [row["column"] for row in rows if row["masked"]] == ["value"]


def test_a_table_whose_feed_is_gone_is_all_masked(ask):
    (ask.folder / "feeds" / "members.yml").unlink()
    (ask.folder / "feeds" / "guests.yml").write_text(FEED.replace("members", "guests"), encoding="utf-8")
    _, rows, _ = ask("landing.members")
    assert {row["column"] for row in rows if row["masked"]} == {"no", "name", "mobile", "_extra"}
    assert (
        "no longer has" in next(row for row in ask()[1] if row["table"] == "landing.members")["description"]
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trusted.customer"], "no published table is called 'trusted.customer'; did you mean 'trusted.customers'?"),
        (["trusted.customers", "--search", "x"], "say either a table or --search WORD"),
        (["--as-of", "2020-01-01"], "nothing was published for 2020-01-01"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_a_sentence(ask, arguments, sentence):
    code, rows, err = ask(*arguments)
    assert (code, rows) == (2, []) and err.startswith(f"cdp: {sentence}")
