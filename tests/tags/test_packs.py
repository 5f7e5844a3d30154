"""A tag of a pack is off where no feed fills what it needs, or where the settings say so; whoever reads it is told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli import run
from jobs.workspace.examine import examine_tags
from jobs.workspace.surroundings import read_surroundings
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.texts import speak
from segments import check_specs
from tags import REGISTRY
from tags.build.project import duckdb_files, wide_contracts
from tags.compile.compilation import compile_tags
from vocabulary.packs import PACKS, Absence, PackTag, absences
from vocabulary.registry import load_registry
from vocabulary.tag_facts import read_tag_facts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

FEED = """
feed: records
source: core
targets:
  - table: trusted.customers
    columns: {source_key: no, kind: "'customer'", birth_date: born}
  - table: trusted.identifier_observations
    each:
      - {source_key: no, namespace: "'phone'", value: phone}
"""
ORDERS = """
feed: orders
source: shop
targets:
  - table: trusted.orders
    columns: {order_id: no, source_key: member, ordered_on: day}
"""
OWN = """
family: site
tags:
  - code: is_rich
    name: {zh: 富, en: Rich}
    definition: {zh: 说明, en: Meaning}
    kind: rule
    value: {type: boolean}
    null_rule: Z
    level: C2
    purposes: [service]
    inputs: [tag:aum_eod]
    compute: {expression: aum_eod > 10}
    owner: data
    version: 1.0.0
    status: online
"""
SEGMENT = """
spec: segment/v1
code: rich_people
name: {zh: 富人, en: Rich people}
owner: {business: retail_shops, tech: data_platform}
version: 1.0.0
entity: customer
kind: dynamic
purpose: service
unknown: exclude
where: {tag: aum_eod, gte: 10}
contact: {channels: [BRANCH]}
publish: {destinations: [letters], mode: [snapshot], format: csv, columns: [channel], valid_hours: 168}
"""


def off(folder):
    return load_registry(folder, shipped=REGISTRY).absences


def test_every_shipped_tag_belongs_to_a_pack_and_no_other_word_is_one():
    entries = load_registry(shipped=REGISTRY).entries.values()
    assert {entry.pack for entry in entries} == set(PACKS)


def test_before_the_first_feed_nothing_is_off(make_workspace):
    assert off(None) == {} and off(make_workspace()) == {}


def test_the_bank_has_every_tag_and_a_shop_those_of_its_orders():
    assert off(EXAMPLES / "bank") == {}
    shop = load_registry(EXAMPLES / "online-retail", shipped=REGISTRY)
    assert {entry.pack for entry in shop.online()} == {"base", "retail"}
    # Its lines name no category.
    assert [code for code in shop.absences if shop[code].pack == "retail"] == ["top_category_365d"]
    assert shop.absences["aum_eod"].unfilled == (("trusted.balances",), ("trusted.relationships",))
    berka = load_registry(EXAMPLES / "berka", shipped=REGISTRY)
    assert "is_dormant" in {entry.code for entry in berka.online()}
    assert {"order_count_365d", "is_mau", "risk_capacity"} <= berka.absences.keys()


def test_a_column_a_text_and_a_table_are_looked_for_where_feeds_name_them(make_workspace):
    folder = make_workspace({"feeds/records.yml": FEED})
    reasons = off(folder)
    assert "age" not in reasons and "age_band" not in reasons
    assert reasons["education"].sentence == "no feed fills trusted.customers.education"
    assert (
        reasons["is_mau"].sentence
        == "no feed fills trusted.events, nor trusted.identifier_observations.namespace = app_user_id@*"
    )
    assert "gender" in reasons
    # What an expression comes to nobody knows before: it may be a national id.
    make_workspace({"feeds/records.yml": FEED.replace("\"'phone'\"", "concat(kind, '@', app)")})
    assert "gender" not in off(folder)
    assert "order_count_365d" in reasons
    make_workspace({"feeds/orders.yml": ORDERS})
    reasons = off(folder)
    assert "order_count_365d" not in reasons
    assert reasons["net_spend_365d"].sentence == "no feed fills trusted.order_lines"
    assert reasons["shop_rfm_group"].sentence == "no feed fills trusted.order_lines"


@pytest.mark.parametrize("word", ["off", "false", "no"])
def test_the_settings_switch_a_pack_off_and_what_needs_its_tags_with_it(word, make_workspace):
    folder = make_workspace({"cdp.yml": f"generate_secrets: true\npacks: {{base: {word}}}\n"})
    load_settings(folder)
    reasons = off(folder)
    assert reasons["age"].sentence == "the pack base is switched off"
    assert reasons["age"].remedy == "`packs: {base: on}` in cdp.yml switches it on"
    # Of the bank's pack what reads a tag of it, and nothing else.
    assert reasons["lifecycle_mau"].packs == ("base",) and "aum_eod" not in reasons
    assert "special_groups" not in reasons


def test_a_pack_that_is_switched_on_is_computed_whatever_feeds_there_are(make_workspace):
    folder = make_workspace(
        {"cdp.yml": "generate_secrets: true\npacks: {bank: on}\n", "feeds/records.yml": FEED}
    )
    compilation = compile_tags(folder)
    assert {"aum_eod", "lifecycle_mau"} <= {entry.code for entry in compilation.plan.entries}
    # What it reads of packs that are off is what it is where nobody has it.
    assert {"is_app_registered", "days_since_login"} <= {entry.code for entry in compilation.plan.absent}
    wide = compilation.writer.wide_sql()
    assert "cast(false as boolean) as is_app_registered," in wide
    assert "cast(null as int) as days_since_login," in wide
    assert "\n    is_app_registered,\n" not in wide
    assert duckdb_files(compilation)


def test_a_workspace_whose_packs_are_all_off_has_people_and_no_tag(make_workspace):
    switches = ", ".join(f"{pack}: off" for pack in PACKS)
    folder = make_workspace({"cdp.yml": f"generate_secrets: true\npacks: {{{switches}}}\n"})
    compilation = compile_tags(folder)
    assert compilation.plan.entries == () and compilation.plan.scans == ()
    assert list(wide_contracts(compilation)[0].columns) == ["one_id", "kind", "null_exceptions", "as_of"]
    assert duckdb_files(compilation)


def test_an_unknown_pack_is_refused_with_its_line(make_workspace):
    folder = make_workspace({"cdp.yml": "generate_secrets: true\npacks:\n  bank: on\n  retial: off\n"})
    with pytest.raises(SettingsInvalid, match="there is no pack 'retial'; did you mean 'retail'") as refusal:
        off(folder)
    assert (Path(refusal.value.file).name, refusal.value.line) == ("cdp.yml", 4)


@pytest.mark.parametrize(
    ("needs", "sentence"),
    [
        ("[trusted.custmers]", "there is no table 'trusted.custmers'; did you mean 'trusted.customers'"),
        ("[trusted.customers.born]", "trusted.customers has no column 'born'"),
        ("[customers]", "'customers' is no need; write trusted.table"),
        ("[trusted.customers.kind=x]", "is no need"),
        ("[[]]", "an empty list of needs says nothing"),
        ("[tag:age]", "'needs' names tag:age, which 'inputs' does not list"),
    ],
)
def test_needs_that_cannot_be_meant_are_refused_with_their_line(needs, sentence, make_workspace):
    tag = OWN.replace("    inputs:", f"    needs: {needs}\n    inputs:")
    with pytest.raises(SettingsInvalid) as refusal:
        off(make_workspace({"tags/site.yml": tag}))
    assert sentence in str(refusal.value) and refusal.value.line


def test_a_tag_of_the_site_that_reads_one_that_is_off_is_refused_and_told_what_switches_it_on(make_workspace):
    folder = make_workspace({"feeds/records.yml": FEED, "tags/site.yml": OWN})
    with pytest.raises(SettingsInvalid) as refusal:
        compile_tags(folder)
    assert (
        "'is_rich' reads the tag 'aum_eod', which is off: no feed fills trusted.balances, nor trusted.relationships; "
        in str(refusal.value)
    )
    assert str(refusal.value).count("a feed that does switches it on") == 1
    make_workspace(
        {"tags/site.yml": OWN.replace("    inputs:", "    needs: [trusted.customers]\n    inputs:")}
    )
    assert "aum_eod" in {entry.code for entry in compile_tags(folder).plan.absent}


def test_the_sites_own_tags_are_never_off_by_themselves(make_workspace):
    tag = OWN.replace("tag:aum_eod", "trusted.loans.status").replace(
        "compute: {expression: aum_eod > 10}",
        "compute: {aggregate: {from: trusted.loans, measure: any, where: \"status = 'active'\"}}",
    )
    folder = make_workspace({"feeds/records.yml": FEED, "tags/site.yml": tag})
    assert "is_rich" not in off(folder)
    make_workspace({"tags/site.yml": tag.replace("    level: C2", "    level: C2\n    pack: loans")})
    assert off(folder)["is_rich"].sentence == "no feed fills trusted.loans"


def test_a_segment_that_uses_one_is_refused_with_the_reason(make_workspace):
    folder = make_workspace({"feeds/records.yml": FEED, "segments/rich_people.yml": SEGMENT})
    settings = load_settings(folder)
    with pytest.raises(SettingsInvalid) as refusal:
        check_specs(settings, read_surroundings(settings))
    assert (
        "tag 'aum_eod' is off: no feed fills trusted.balances, nor trusted.relationships; a feed that does switches it on"
        in str(refusal.value)
    )


def test_what_segments_know_of_tags_agrees_with_the_registry(make_workspace):
    folder = make_workspace(
        {"feeds/records.yml": FEED, "cdp.yml": "generate_secrets: true\npacks: {interest: off}\n"}
    )
    registry = load_registry(folder, shipped=REGISTRY)
    facts = read_tag_facts(folder, shipped=REGISTRY)
    assert {code: fact.status for code, fact in facts.items()} == {
        code: registry.status_of(entry) for code, entry in registry.entries.items()
    }
    assert {code: fact.absence for code, fact in facts.items() if fact.absence} == dict(registry.absences)


def test_commands_say_what_is_off_and_why(make_workspace, capsys):
    folder = make_workspace({"feeds/records.yml": FEED})

    def answer(*words):
        assert run(["tags", *words, "--workspace", str(folder)]) == 0
        return capsys.readouterr()

    listing = answer("list", "--family", "risk")
    assert "risk_capacity" in listing.out and "12 tags: 0 online, 12 off" in listing.err
    assert "no feed fills trusted.assessments" in answer("list", "--status", "off").out
    assert '"status": "off"' in answer("search", "risk capacity", "--format", "json").out
    page = answer("show", "risk_capacity").out
    assert "risk, fact, off, version" in page
    assert "bank, off: no feed fills trusted.assessments; a feed that does switches it on" in page
    (requirement,) = examine_tags(folder)
    assert requirement.is_good and "computed; off: bank (" in requirement.state
    # The index of search was made from the feeds as well.
    (folder / "feeds" / "records.yml").unlink()
    assert '"status": "online"' in answer("search", "risk capacity", "--format", "json").out


def test_the_reason_is_told_in_the_language_of_the_workspace():
    reason = Absence(unfilled=(("trusted.loans", "trusted.cards"), ("trusted.events",)), packs=("base",))
    assert (
        reason.sentence
        == "no feed fills trusted.loans or trusted.cards, nor trusted.events and the pack base is switched off"
    )
    speak("zh")
    assert (
        reason.sentence
        == "没有数据源提供 trusted.loans 或 trusted.cards，也没有 trusted.events，并且标签包 base 已关闭"
    )


def test_tags_that_read_one_another_in_a_circle_end(make_workspace):
    circle = [PackTag("a", "bank", ("tag:b",)), PackTag("b", "bank", ("tag:a", "trusted.loans.status"))]
    folder = make_workspace({"feeds/records.yml": FEED})
    assert set(absences(circle, folder)) == {"a", "b"}


@pytest.mark.parametrize(
    "feed",
    [
        "[]",
        "targets: 7",
        "targets: [7]",
        "targets: [{table: [x]}]",
        "targets: [{table: trusted.loans, columns: 7, each: 7}]",
    ],
)
def test_what_is_no_feed_fills_nothing_and_is_left_to_ingestion(feed, make_workspace):
    assert "loan_balance" in off(make_workspace({"feeds/strange.yml": feed + "\n"}))
