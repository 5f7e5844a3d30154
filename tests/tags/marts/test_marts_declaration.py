"""``marts.yml``: what is refused with file, line and the word that may be meant; what is off, and what a night without it does."""

from __future__ import annotations

import datetime as dt
import logging
import re

import pytest

import tags
from jobs.cli import run
from jobs.planning.changes import FileChange, are_audiences_reached
from jobs.report.tag_usage import tag_impact, tag_users
from jobs.workspace.check import check_files
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.texts import speak
from tags.build.project import MARTS as MODELS
from tags.compile.compilation import compile_tags
from tags.compile.marts.declaration import MOST_STEPS, read_marts
from tags.compile.marts.models import _TAGS as MART_TAGS
from tags.compile.marts.models import TAGS_READ
from tags.marts import TABLES, compared_day
from tests.published_lake import FEED, publish
from tests.tags.drawn import write
from vocabulary.contact_rules import NOT_A_TOUCH

D = dt.date(2024, 3, 31)
FUNNEL = "funnels:\n  buying:\n    name: {zh: 购买, en: Buying}\n"
RETENTION = "retentions:\n  app:\n    name: {zh: 登录, en: Login}\n"
ORDERS = """\
feed: orders
source: shop
description: Orders of the shop.
mode: events
files: {path: "orders/{date}/orders.csv"}
format: {type: csv}
columns: [no, member, day]
targets:
  - table: trusted.orders
    columns: {order_id: no, source_key: member, ordered_on: "to_date(day)", ordered_at: "to_timestamp(day)", status: "'completed'"}
"""


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("funnel: {}\n", 1, "unknown key 'funnel'; did you mean 'funnels'?"),
        (f"{FUNNEL}    steps: [view, view]\n", 4, "the event 'view' is two steps"),
        (f"{FUNNEL}    steps: [view]\n", 4, "steps"),
        (f"{FUNNEL}    steps: [{', '.join(f's{at}' for at in range(MOST_STEPS + 1))}]\n", 4, "steps"),
        (f"{FUNNEL}    steps: [view, ' buy']\n", 4, "without spaces around it"),
        (f"{FUNNEL}    steps: [view, buy]\n    with_days: 3\n", 5, "did you mean 'within_days'?"),
        (f"{FUNNEL}    steps: [view, buy]\n    days: 0\n", 5, "days"),
        (FUNNEL.replace("buying", "Buying") + "    steps: [view, buy]\n", 2, "'Buying' is no code"),
        (f"{RETENTION}    first: login\n", 2, "key 'retentions.app.back' is missing"),
        (f"{RETENTION}    first: login\n    back: ''\n", 5, "without spaces"),
        (f"{RETENTION}    first: login\n    back: login\n    days: [1, 1]\n", 6, "a day is there twice"),
        ("compare_months: 26\n", 1, "snapshots of tags are kept for 25 months (retention.tag_month_ends"),
        ("compare_months: many\n", 1, "a whole number"),
        ("- funnels\n", 1, "has to be a block"),
    ],
)
def test_a_wrong_declaration_is_refused_at_its_line(make_workspace, text, line, words):
    settings = load_settings(make_workspace({"marts.yml": text}))
    with pytest.raises(SettingsInvalid) as refused:
        check_files(settings, needs_feeds=False)
    assert refused.value.file == str(settings.workspace / "marts.yml") and refused.value.line == line
    assert words in refused.value.message


def test_an_empty_file_declares_the_marts_without_funnels(make_workspace):
    declaration = read_marts(make_workspace({"marts.yml": "# all of them\n"}))
    assert declaration is not None and declaration.entries.compare_months == 1
    assert read_marts(make_workspace({}, name="other")) is None


@pytest.mark.slow
def test_an_event_that_never_came_is_warned_of_with_the_one_that_may_be_meant(make_workspace, caplog):
    text = f"{FUNNEL}    steps: [detail_view, by]\n{RETENTION}    first: login\n    back: login\n"
    lake = open_lake(load_settings(make_workspace({"marts.yml": text})))
    tags.build_tags(lake, D)
    assert warnings_of_marts(lake, caplog) == []  # before the first event nobody knows what comes
    names = ("detail_view", "buy", "login")
    write(
        lake,
        "trusted.events",
        [
            {"event_id": str(at), "event_name": name, "occurred_on": "2024-03-01", "occurred_at": "2024-03-01 10:00:00"}
            for at, name in enumerate(names)
        ],
    )  # fmt: skip
    file = lake.settings.workspace / "marts.yml"
    assert warnings_of_marts(lake, caplog) == [
        f"{file}:4: no event was ever called 'by'; did you mean 'buy'?"
    ]


def test_the_check_of_tags_tells_it_too_once_events_were_published(make_workspace, capsys):
    files = {"marts.yml": f"{FUNNEL}    steps: [detail_view, by]\n", "feeds/members.yml": FEED}
    settings = publish(make_workspace(files))
    lake = Lake(settings)
    lake.create(["trusted.events"])
    moment = {"occurred_on": "2024-03-01", "occurred_at": "2024-03-01 10:00:00"}
    names = ("detail_view", "buy")
    write(lake, "trusted.events", [{"event_id": name, "event_name": name, **moment} for name in names])
    lake.append_rows("ops.publications", [publication_of(lake)])
    assert run(["tags", "compile", "--check", "--workspace", str(settings.workspace)]) == 0
    sentence = f"{settings.workspace / 'marts.yml'}:4: no event was ever called 'by'; did you mean 'buy'?"
    assert sentence in capsys.readouterr().err


def publication_of(lake):
    """Give a later publication of the small published lake, with its events."""
    row = lake.read_arrow("ops.publications").to_pylist()[0]
    events = {"table": "trusted.events", "version": lake.version("trusted.events")}
    return {**row, "seq": 2, "tables": [*row["tables"], events]}


def test_a_plan_evaluates_no_segment_for_another_funnel():
    assert not are_audiences_reached([FileChange("marts.yml", "changed")])
    assert are_audiences_reached([FileChange("segments/a.yml", "changed")])


def warnings_of_marts(lake, caplog):
    """Build the marts and give what is warned of."""
    caplog.clear()
    tags.build_marts(lake, D)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
def test_a_shop_has_the_marts_whose_inputs_its_feeds_fill(make_workspace):
    workspace = make_workspace({"marts.yml": "compare_months: 1\n", "feeds/orders.yml": ORDERS})
    marts = compile_tags(workspace).marts
    assert marts is not None
    lake = open_lake(load_settings(workspace))
    lake.contracts.add(
        *tags.tag_contracts(lake.settings)
    )  # whose wide table has no column of the bank's tags
    assert "aum_tier" not in lake.contracts.get("tags.customer_tags_daily").columns
    tags.build_tags(lake, D)
    assert tags.build_marts(lake, D) == marts.active == ("stage_migration",)
    assert {name: marts.reason(name) for name in TABLES if marts.reason(name)} == {
        "campaign_summary": "no feed fills trusted.receipts",
        "channel_acquisition": "no feed fills trusted.customers",
        "event_funnel": "no feed fills trusted.events",
        "event_retention": "no feed fills trusted.events",
        "lifecycle_contribution": (
            "no feed fills trusted.balances or trusted.relationships or trusted.events or trusted.identifier_observations"
        ),
        "tier_migration": "no feed fills trusted.balances, nor trusted.relationships, nor trusted.accounts",
    }
    speak("zh")
    assert marts.reason("event_funnel") == "没有数据源提供 trusted.events"


def test_a_bank_without_declared_funnels_says_so_in_its_language(make_workspace):
    marts = compile_tags(make_workspace({"marts.yml": ""})).marts
    assert marts is not None
    assert marts.reason("event_funnel") == "marts.yml declares no funnel"
    speak("zh")
    assert marts.reason("event_retention") == "marts.yml 没有声明留存"


@pytest.mark.slow
def test_a_first_night_with_nothing_has_empty_marts(make_workspace):
    lake = open_lake(load_settings(make_workspace({"marts.yml": f"{FUNNEL}    steps: [view, buy]\n"})))
    tags.build_tags(lake, D)
    assert "event_funnel" in tags.build_marts(lake, D)
    assert [table for table in TABLES.values() if lake.row_count(table)] == []


@pytest.mark.slow
def test_without_the_file_nights_build_no_mart_and_a_rerun_takes_the_rows_of_its_date(make_workspace):
    lake = open_lake(load_settings(make_workspace()))
    tags.build_tags(lake, D)
    row = {"segment": "s", "channel": "SMS", "people_count": 10} | dict.fromkeys(
        ("run_count", "contact_count", "touched_count", "delivered_count", "answered_count", "converted_count", "bounced_count",
         "refused_count"), 0,
    )  # fmt: skip
    earlier = dt.date(2024, 3, 30)
    for day in (earlier, D):
        lake.append_rows(TABLES["campaign_summary"], [{"as_of": day, **row}])
    assert tags.build_marts(lake, D) == ()
    assert lake.read_arrow(TABLES["campaign_summary"])["as_of"].to_pylist() == [earlier]
    assert not (lake.settings.generated / "night" / "dbt" / "linked" / "marts").exists()


@pytest.mark.parametrize(
    ("day", "months", "answer"),
    [
        (D, 1, dt.date(2024, 2, 28)),  # the last that is kept, though the month has one day more
        (dt.date(2024, 3, 1), 1, dt.date(2024, 2, 28)),
        (D, 3, dt.date(2023, 12, 31)),  # over the end of a year
        (D, 2, None),
        (dt.date(2024, 2, 28), 1, None),
    ],
)
def test_the_day_that_is_compared_with_is_the_last_of_its_month(day, months, answer):
    days = [dt.date(2023, 12, 1), dt.date(2023, 12, 31), dt.date(2024, 2, 1), dt.date(2024, 2, 28), D]
    assert compared_day(days, day, months) == answer


def test_what_a_model_says_of_steps_and_receipts_is_what_is_said_elsewhere():
    assert f"int_funnel_events'), {MOST_STEPS}) }}}}" in (MODELS / "int_funnel_depths.sql").read_text()
    campaign = (MODELS / "campaign_summary.sql").read_text()
    lists = [
        set(re.findall(r"'(\w+)'", each)) for each in re.findall(r"status (?:not )?in \(([^)]*)\)", campaign)
    ]
    contacts = (MODELS.parent / "intermediate" / "int_contacts_keyed.sql").read_text()
    of_contacts = [
        set(re.findall(r"'(\w+)'", each)) for each in re.findall(r"status (?:not )?in \(([^)]*)\)", contacts)
    ]
    assert lists[0] == set(NOT_A_TOUCH) == of_contacts[0] and lists[1] == of_contacts[1]


def test_a_mart_is_a_user_of_the_tags_it_reads(make_workspace):
    """What each mart reads is what its models name: a tag that is taken away would be missed."""
    plain = load_settings(make_workspace({}))
    assert not [user for users in tag_users(plain).values() for user in users if user.startswith("mart ")]
    declared = load_settings(make_workspace({"marts.yml": ""}))
    users = tag_users(declared)
    assert {"mart tier_migration", "mart stage_migration"} <= set(users["aum_eod"])
    impact = [
        (thing.name, thing.how, thing.through)
        for thing in tag_impact(declared, "aum_tier")
        if thing.kind == "mart"
    ]
    assert impact == [("tier_migration", ("reads it",), ("aum_tier",))]
    assert {tag for tags_read in TAGS_READ.values() for tag in tags_read} == set(MART_TAGS)
