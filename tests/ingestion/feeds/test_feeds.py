"""Feed YAML: every mistake is one sentence with file and line, found without Spark."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ingestion.feeds.feeds import key_policy, load_feeds, read_feed
from lakehouse.errors import SettingsInvalid

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FEED = """\
feed: clients
source: core
description: Clients.
mode: snapshot
files: {path: "clients/{date}/clients.csv"}
format: {type: csv, separator: ";"}
columns: [no, name, born, user.id]
row_rules:
  - {rule: no_number, refuse_when: "no is null", why: nobody to keep}
targets:
  - table: trusted.customers
    columns:
      source_key: no
      kind: "'customer'"
      full_name: "`user.id`"
      birth_date: "try_to_date(born, 'yyyyMMdd')"
"""


@pytest.fixture
def feed_file(make_workspace):
    """A function that writes the feed above with one replacement and gives its file."""

    def write(old: str = "", new: str = "") -> Path:
        assert old in FEED
        return make_workspace({"feeds/clients.yml": FEED.replace(old, new, 1)}) / "feeds" / "clients.yml"

    return write


def test_a_good_feed_is_read(feed_file):
    feed = read_feed(feed_file())
    assert (feed.feed, feed.order, feed.required, feed.tables) == (
        "clients",
        50,
        False,
        ("trusted.customers",),
    )
    assert key_policy(feed, "trusted.customers") == ("refuse", None)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("trim(no)", "a text"),
        ("no", "a text"),
        ("case when no is null then 'yes' end", "a text"),
        ("length(no)", "a number"),
        ("try_cast(no as decimal(10,2))", "a number"),
        ("try_to_date(born, 'yyyyMMdd')", "a day"),
        ("_row", "a number"),
        ("_business_date", "a day"),
        ("split(no, ',')", "a list"),
    ],
)
def test_a_condition_that_gives_another_value_than_true_or_false_is_refused_at_its_line(
    feed_file, condition, said
):
    says = f"gives {said}, not true or false; compare it with something"
    with pytest.raises(SettingsInvalid) as caught:
        read_feed(feed_file('"no is null"', f'"{condition}"'))
    assert (caught.value.line, caught.value.message) == (9, f"the expression of row rule no_number {says}")
    with pytest.raises(SettingsInvalid, match=f"'where' of trusted.customers {says}"):
        read_feed(feed_file("    columns:\n", f'    where: "{condition}"\n    columns:\n'))


@pytest.mark.parametrize(
    "condition",
    [
        "no rlike '^x'",
        "true",
        "null",
        "not (no in ('a'))",
        "if(no is null, true, no = born)",
        "cast(no as boolean)",
    ],
)
def test_a_condition_that_gives_true_or_false_is_read(feed_file, condition):
    assert read_feed(feed_file('"no is null"', f'"{condition}"')).row_rules[0].refuse_when == condition


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("separator", "seperator", 6, "unknown key 'seperator'; did you mean 'separator'?"),
        ("name, born", "_Problem, born", 7, "'_Problem' is the name of a pipeline column"),
        ("mode: snapshot", "mode: whole", 4, "'mode' has to be 'snapshot', 'delta' or 'events'"),
        ("clients/{date}/", "clients/", 5, "needs 'business_date'"),
        ("{date}", "{day}", 5, "not {day}"),
        (
            "trusted.customers",
            "trusted.customer",
            11,
            "unknown table 'trusted.customer'; did you mean 'trusted.customers'?",
        ),
        (
            "full_name:",
            "fullname:",
            15,
            "trusted.customers has no column 'fullname'; did you mean 'full_name'?",
        ),
        (
            "source_key: no",
            "source_key: nno",
            13,
            "reads 'nno', which is no delivered column; did you mean 'no'?",
        ),
        ("(born,", "(borne,", 16, "reads 'borne', which is no delivered column; did you mean 'born'?"),
        ('"no is null"', '"nr is null"', 9, "row rule no_number reads 'nr', which is no delivered column"),
        ("`user.id`", "user.id", 15, "write `user.id` in backticks"),
        (
            "try_to_date(born, 'yyyyMMdd')",
            "try_to_date(born",
            16,
            "trusted.customers.birth_date is not Spark SQL",
        ),
        ("try_to_date(born, 'yyyyMMdd')", "born name", 16, "is an operator or a quote missing?"),
        ("try_to_date(born, 'yyyyMMdd')", "current_date()", 16, "its answer changes from run to run"),
        ("try_to_date(born, 'yyyyMMdd')", "max(born)", 16, "needs more than one row"),
        ("\"'customer'\"", "\"'client'\"", 14, "trusted.customers.kind does not allow 'client'"),
        (
            "      kind: \"'customer'\"\n",
            "",
            12,
            "trusted.customers needs column 'kind', which the feed does not map",
        ),
        ("      source_key: no\n", "      source_key: no\n      source: no\n", 14, "take it out"),
        ("[no, name,", "[no, NO,", 7, "delivered column 'NO' stands twice"),
        ("    columns:\n", "    same_key: newest\n    columns:\n", 12, "same_key is refuse, first, last"),
    ],
)
def test_a_mistake_names_file_and_line(feed_file, old, new, line, said):
    file = feed_file(old, new)
    with pytest.raises(SettingsInvalid) as wrong:
        read_feed(file)
    assert said in str(wrong.value)
    assert str(wrong.value).startswith(f"{file}:{line}: ")
    assert wrong.value.exit_code == 2


def test_two_feeds_of_one_name_are_refused(make_workspace):
    workspace = make_workspace({"feeds/clients.yml": FEED, "feeds/others.yml": FEED})
    with pytest.raises(SettingsInvalid, match=r"others.yml:1: feed 'clients' is also named by clients.yml"):
        load_feeds(workspace)


def test_a_feed_is_named_like_its_file(make_workspace):
    with pytest.raises(SettingsInvalid, match=r"is named 'clients' but its file is others.yml"):
        load_feeds(make_workspace({"feeds/others.yml": FEED}))


@pytest.mark.parametrize("workspace", ["bank", "berka"])
def test_the_feeds_of_the_examples_are_good_and_need_no_spark(workspace):
    assert load_feeds(EXAMPLES / workspace)
    assert [feed.order for feed in load_feeds(EXAMPLES / workspace)] == sorted(
        f.order for f in load_feeds(EXAMPLES / workspace)
    )


def test_reading_feeds_imports_nothing_heavy():
    import subprocess

    code = (
        "import sys; from pathlib import Path; from ingestion.feeds.feeds import load_feeds; "
        f"load_feeds(Path({str(EXAMPLES / 'berka')!r})); "
        "print(sorted({'pyspark', 'pandas', 'dbt', 'great_expectations'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert said.stdout.strip() == "[]"


def test_a_condition_on_a_source_is_of_the_language_and_its_table_is_a_name(feed_file):
    extracts = {
        "delta: {path: /crm, where: \"day <= date'{date}' and reflect('a', 'b') = ''\"}": "uses reflect()",
        'delta: {path: /crm, where: "id in (select id from text.`/etc/passwd`)"}': "has '.'",
        'jdbc: {url: "jdbc:x:y", table: "crm; drop table crm"}': "table",
        'jdbc: {url: "jdbc:x:y", table: "(select * from secrets)"}': "table",
    }
    place = 'files: {path: "clients/{date}/clients.csv"}\nformat: {type: csv, separator: ";"}\n'
    for extract, words in extracts.items():
        with pytest.raises(SettingsInvalid, match=re.escape(words)):
            read_feed(feed_file(place, f"extract: {{{extract}}}\n"))


def test_a_feed_that_maps_to_a_refused_level_is_refused(feed_file, monkeypatch):
    """No trusted table has a column of level C3 today; here the names are taken for one."""
    monkeypatch.setattr("ingestion.feeds.feeds.REFUSED_LEVEL", "C2")
    with pytest.raises(
        SettingsInvalid,
        match=r"clients.yml:13: trusted.customers.source_key is of level C2, which no feed may fill",
    ):
        read_feed(feed_file())
