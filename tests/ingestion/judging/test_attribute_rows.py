"""Attributes in feeds: a row for each, typed as the site declares it, alike on every way of mapping; what is wrong is refused."""

from __future__ import annotations

import os

import pytest
from judged_records import WAYS, judged

from ingestion.feeds.feeds import load_feeds, read_feed
from lakehouse.errors import SettingsInvalid
from vocabulary.attributes import read_attributes

ATTRIBUTES = """\
attributes:
  - {code: plan, entity: customer, type: string, level: C1, domain: [BASIC, PLUS], name: {zh: 套餐, en: Plan}}
  - {code: fee, entity: customer, type: decimal, level: C2, name: {zh: 月费, en: Fee}}
  - {code: minutes, entity: customer, type: int, level: C2, name: {zh: 分钟, en: Minutes}}
  - {code: share, entity: customer, type: ratio, level: C2, name: {zh: 占比, en: Share}}
  - {code: is_5g, entity: customer, type: boolean, level: C1, name: {zh: 是否5G, en: Uses 5G}}
  - {code: ends_on, entity: customer, type: date, level: C2, name: {zh: 到期日, en: End}}
  - {code: tier, entity: account, type: string, level: C1, name: {zh: 等级, en: Tier}}
"""
FEED = """\
feed: lines
source: telecom
description: d
mode: snapshot
files: {path: "lines/{date}/*"}
columns: [no, plan, fee, minutes, share, is_5g, ends_on, account]
targets:
  - table: trusted.customers
    columns: {source_key: no, kind: "'customer'"}
  - table: trusted.accounts
    where: account is not null
    columns: {account_id: account, account_type: "'savings'", status: "'open'", currency: "'CNY'"}
  - table: trusted.attributes
    entity: customer
    key: no
    attributes:
      plan: upper(plan)
      fee: fee
      minutes: minutes
      share: share
      is_5g: is_5g
      ends_on: "try_to_date(ends_on, 'yyyy-MM-dd')"
"""
LINES = [
    # no, plan, fee, minutes, share, is_5g, ends_on, account
    ("a", "basic", "19.9", "120", "0.25", "true", "2026-12-31", None),
    ("b", "GOLD", "19.999", "12.5", "0.1234567", "maybe", "2026-02-30", None),
    ("c", None, None, None, None, None, None, None),
    ("d", "plus", "-0.10", "-3", "1", "FALSE", "9999-12-31", None),
    (None, "plus", "1", "1", "1", "true", None, None),
]
STATED = {
    ("a", "plan", "string"): "BASIC", ("a", "fee", "decimal"): "19.90", ("a", "minutes", "int"): "120",
    ("a", "share", "ratio"): "0.250000", ("a", "is_5g", "boolean"): "true", ("a", "ends_on", "date"): "2026-12-31",
    ("d", "plan", "string"): "PLUS", ("d", "fee", "decimal"): "-0.10", ("d", "minutes", "int"): "-3",
    ("d", "share", "ratio"): "1.000000", ("d", "is_5g", "boolean"): "false", ("d", "ends_on", "date"): "9999-12-31",
}  # fmt: skip


@pytest.fixture
def site(make_workspace):
    """A function that gives a workspace with attributes and feeds, each text with some of its words replaced."""

    def make(*replacements: tuple[str, str], more: dict[str, str] | None = None):
        texts = {"attributes.yml": ATTRIBUTES, "feeds/lines.yml": FEED}
        for old, new in replacements:
            assert any(old in text for text in texts.values()), f"nothing to replace: {old}"
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        return make_workspace(texts | (more or {}))

    return make


def feed_of(workspace):
    return read_feed(workspace / "feeds" / "lines.yml")


def stated(rows):
    assert {(row["source"], row["entity"]) for row in rows} == {("telecom", "customer")}
    return {(row["entity_key"], row["attribute"], row["value_type"]): row["value"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_record_becomes_a_row_for_each_attribute_in_the_text_of_its_type(spark, tmp_path, site, way):
    refused, tables, losses = judged(spark, tmp_path, feed_of(site()), way=way, records=LINES)
    assert refused == {5: ["missing:entity_key", "missing:source_key"]}
    assert stated(tables["trusted.attributes"]) == STATED
    assert {(column, reason): count for (table, column, reason), count in losses.items() if table == "trusted.attributes"} == {
        ("plan", "not_allowed"): 1, ("fee", "more_decimals"): 1, ("minutes", "unreadable"): 1,
        ("share", "more_decimals"): 1, ("is_5g", "unreadable"): 1, ("ends_on", "unreadable"): 1,
    }  # fmt: skip


def test_changed_rows_say_that_an_attribute_has_no_value_any_more(tmp_path, site):
    _, tables, _ = judged(
        None, tmp_path, feed_of(site(("mode: snapshot", "mode: delta"))), way="one by one", records=LINES[:3]
    )
    of_c = {key[1]: value for key, value in stated(tables["trusted.attributes"]).items() if key[0] == "c"}
    assert of_c == dict.fromkeys(("plan", "fee", "minutes", "share", "is_5g", "ends_on"))


def test_a_value_may_refuse_its_record(tmp_path, site):
    feed = feed_of(site(("columns: [no,", "unreadable: {refuse: [plan, minutes]}\ncolumns: [no,")))
    refused, tables, _ = judged(None, tmp_path, feed, way="one by one", records=LINES)
    assert refused[2] == ["not_allowed:plan", "unreadable:minutes"]
    assert "b" not in {row["entity_key"] for row in tables["trusted.attributes"]}


def test_two_entities_of_one_record_are_filled_together(tmp_path, site):
    more = "      ends_on: ends_on\n  - {table: trusted.attributes, where: account is not null, entity: account, key: account, attributes: {tier: plan}}\n"
    feed = feed_of(site(("      ends_on: \"try_to_date(ends_on, 'yyyy-MM-dd')\"\n", more)))
    lines = [
        ("a", "basic", None, None, None, None, None, "A1"),
        ("b", "plus", None, None, None, None, None, None),
    ]
    _, tables, _ = judged(None, tmp_path, feed, way="one by one", records=lines)
    rows = {(r["entity"], r["entity_key"], r["attribute"]): r["value"] for r in tables["trusted.attributes"]}
    assert rows == {
        ("customer", "a", "plan"): "BASIC", ("customer", "b", "plan"): "PLUS", ("account", "A1", "tier"): "basic",
    }  # fmt: skip


def test_a_list_names_delivered_columns_that_are_called_as_the_attributes_are(tmp_path, site):
    begin = FEED.index("    attributes:")
    feed = feed_of(site((FEED[begin:], "    attributes: [plan, fee]\n")))
    _, tables, _ = judged(None, tmp_path, feed, way="one by one", records=[("a", "PLUS", "1", *[None] * 5)])
    assert stated(tables["trusted.attributes"]) == {
        ("a", "plan", "string"): "PLUS",
        ("a", "fee", "decimal"): "1.00",
    }


def test_two_records_of_one_key_refuse_one_another_as_in_any_table(tmp_path, site):
    begin, end = FEED.index("  - table: trusted.customers"), FEED.index("  - table: trusted.attributes")
    feed = feed_of(site((FEED[begin:end], "")))
    lines = [("a", "basic", *[None] * 6), ("a", "plus", *[None] * 6)]
    refused, tables, _ = judged(None, tmp_path, feed, way="one by one", records=lines)
    assert refused == {1: ["same_key:trusted.attributes"], 2: ["same_key:trusted.attributes"]}
    assert tables["trusted.attributes"] == []


# --- what is wrong is said with file and line before any night -------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("      fee: fee", "      fees: fee", "lines.yml:18: no attributes.yml declares an attribute 'fees' of customer; did you mean 'fee'?"),
        ("      fee: fee", "      tier: fee", "lines.yml:18: 'tier' is an attribute of account, not of customer"),
        ("      fee: fee", "      fee: fees", "lines.yml:18: the expression of trusted.attributes.fee reads 'fees', which is no delivered column"),
        ("plan: upper(plan)", "plan: \"'GOLD'\"", "lines.yml:17: trusted.attributes.plan does not allow 'GOLD'"),
        ("entity: customer\n    key", "entity: customers\n    key", "there is no entity 'customers'; did you mean 'customer'?"),
        ("    key: no\n", "", "a target of trusted.attributes has 'entity', 'key' and 'attributes'"),
        ("    attributes:\n", "    columns:\n", "a target of trusted.attributes has 'entity', 'key' and 'attributes'"),
        ("    columns: {source_key: no, kind: \"'customer'\"}", "    attributes: {plan: plan}", "'attributes' is for the table trusted.attributes"),
        ("code: fee,", "code: plan,", "attributes.yml:3: the attribute 'plan' is declared twice: on line 2 as string, here as decimal"),
        ("code: fee,", "code: \"fee; drop table x\",", "attributes.yml:3: 'attributes.1.code': string should match pattern"),
        ("code: fee,", "code: select,", "'select' is a word of the language of expressions"),
        ("code: fee,", "code: current_date,", "'current_date' is a word of the language of expressions"),
        ("code: fee,", "code: case,", "'case' is a word of the language of expressions"),
        ("code: fee,", "code: gender,", "trusted.customers has a column 'gender' already; map it there"),
        ("code: fee,", "code: entity_key,", "'entity_key' is a column of trusted.attributes itself"),
        ("type: decimal", "type: money", "attributes.yml:3: 'attributes.1.type' has to be"),
        ("type: decimal, level: C2", "type: decimal, level: C3", "an attribute cannot be of level C3; credentials and biometrics are never kept"),
        ("type: decimal, level: C2", "type: decimal", "attributes.yml:3: key 'attributes.1.level' is missing"),
        ("entity: customer, type: decimal", "entity: person, type: decimal", "there is no entity 'person'"),
        ("domain: [BASIC, PLUS]", "domain: 'BASIC, PLUS'", "attributes.yml:2: 'attributes.0.domain': a domain is a list of values, such as [LOW, HIGH]"),
        ("domain: [BASIC, PLUS]", "domain: [1, 2]", "a domain holds texts; write '1' in quotes"),
        ("domain: [BASIC, PLUS]", "domain: [BASIC, BASIC]", "a value of the domain stands twice"),
        ("type: string, level: C1, domain", "type: int, level: C1, domain", "a domain is for the type string, not for int"),
        ("name: {zh: 月费, en: Fee}", "name: Fee", "attributes.yml:3: 'attributes.1.name'"),
        ("name: {zh: 月费, en: Fee}", "name: {zh: 月费, en: Fee}, unit: CNY", "attributes.yml:3: unknown key 'unit'"),
        ("attributes:\n  - {code: plan,", "attribute:\n  - {code: plan,", "attributes.yml:1: unknown key 'attribute'; did you mean 'attributes'?"),
        (FEED[FEED.index("  - table: trusted.customers") : FEED.index("  - table: trusted.accounts")], "",
         "lines.yml:12: no feed of the source 'telecom' fills trusted.customers, so nobody would see these attributes"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_refused_with_its_place(site, old, new, says):
    with pytest.raises(SettingsInvalid) as fault:
        load_feeds(site((old, new)))
    assert says in str(fault.value)


def test_two_feeds_of_a_source_do_not_state_one_attribute(site):
    other = FEED.replace("feed: lines", "feed: others").replace("lines/{date}", "others/{date}")
    with pytest.raises(
        SettingsInvalid,
        match=r"others.yml:17: the feed 'lines' of the source 'telecom' fills the attribute 'plan' too",
    ):
        load_feeds(site(more={"feeds/others.yml": other}))


def test_two_files_do_not_declare_one_attribute(site):
    more = "attributes:\n  - {code: fee, entity: account, type: int, level: C1, name: {zh: 费, en: Fee}}\n"
    with pytest.raises(
        SettingsInvalid,
        match=r"more.yml:2: the attribute 'fee' is declared twice: on attributes.yml, line 3 as decimal, here as int",
    ):
        load_feeds(site(more={"attributes/more.yml": more}))


def wide_site(site, count, filled):
    """Give a site of many attributes whose feed fills the first of them, and an unknown one where more are filled."""
    names = [f"x{n:04d}" for n in range(count)]
    files = {
        f"attributes/part{at}.yml": "attributes:\n"
        + "".join(
            f"  - {{code: {name}, entity: customer, type: int, level: C2, name: {{zh: 数, en: Number}}}}\n"
            for name in names[at : at + 1_000]
        )
        for at in range(0, count, 1_000)
    }
    names = [*names, "y"][:filled]
    people = "targets:\n  - table: trusted.customers\n    columns: {source_key: no, kind: \"'customer'\"}\n"
    feed = FEED[: FEED.index("targets:")].replace("columns: [no, ", f"columns: [no, {', '.join(names)}, ")
    target = (
        f"  - {{table: trusted.attributes, entity: customer, key: no, attributes: [{', '.join(names)}]}}\n"
    )
    return site(more={**files, "feeds/lines.yml": feed + people + target})


def test_many_attributes_are_one_target_and_a_wrong_one_of_them_is_named_in_a_line(site):
    assert len(load_feeds(wide_site(site, 300, 300))[0].contract("trusted.attributes").columns) > 300
    with pytest.raises(SettingsInvalid) as fault:
        load_feeds(wide_site(site, 300, 301))
    assert "no attributes.yml declares an attribute 'y' of customer" in str(fault.value)
    assert len(str(fault.value)) < 300


@pytest.mark.slow
def test_five_thousand_attributes_may_be_declared_and_a_feed_fills_a_thousand_of_them(site):
    assert len(read_attributes(wide_site(site, 5_000, 1)).by_code) == 5_007
    with pytest.raises(
        SettingsInvalid,
        match=r"lines.yml:10: the feed fills 1,001 attributes, more than 1,000; let several feeds",
    ):
        load_feeds(wide_site(site, 1_001, 1_001))


@pytest.mark.parametrize("name", ["attributes.yml", "lookups.yml"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing", "list"])
def test_a_declaration_that_is_no_file_of_yaml_is_refused_and_not_passed_over(site, name, kind):
    workspace = site()
    file = workspace / name
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "link to nothing":
        file.symlink_to(workspace / "nothing.yml")
    else:
        file.write_text("- plan\n")
    with pytest.raises(SettingsInvalid) as fault:
        load_feeds(workspace)
    assert str(fault.value).startswith(str(file)), "no fault of a feed that misses what the file declares"
