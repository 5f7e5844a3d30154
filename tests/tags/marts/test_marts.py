"""Every mart over people drawn by hand, on both engines: totals that stay whole, rows of ten people, days at a border, nulls."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

import tags
from lakehouse.settings.settings import load_settings
from lakehouse.settings.yaml_files import load_yaml
from lakehouse.tables.lake import open_lake
from tags.build.computation import NIGHT, run_dbt
from tags.build.project import MARTS as MARTS_FOLDER
from tags.build.project import source_tables
from tags.compile.compilation import compile_tags
from tags.marts import MIGRATIONS, TABLES, built_rows
from tests.tags.drawn import cell, rows_of, write

D = dt.date(2024, 3, 31)
EARLIER = dt.date(2024, 2, 29)
QUOTED = "it's {{ 1 }} \\ 'back'"
MARTS = f"""
compare_months: 1
campaign_days: 30
funnels:
  buying:
    name: {{zh: 购买, en: Buying}}
    steps: [view, "{QUOTED.replace(chr(92), chr(92) * 2)}", bought]
    within_days: 2
    days: 30
  few:
    name: {{zh: 少数, en: Few}}
    steps: [rare, view]
retentions:
  app:
    name: {{zh: 登录, en: Login}}
    first: login
    back: login
    days: [30, 1, 7]
    months: 3
"""

# `people` many who are alike: the snapshot of D, then that of the last day of February.
NOW = """
who | people | kind     | aum_tier | lifecycle_mau | home_branch | aum_eod | is_mau | acquisition_channel | acquisition_campaign | new_customer_day
a   | 12     | customer | T1       | GROW          | b1          | 100.00  | true   | APP                 | c1                   | 0
b   | 10     | customer | T2       | GROW          | b2          | -5.50   | false  | APP                 | -                    | -
c   | 9      | prospect | T3       | GROW          | b3          | 1.00    | true   | WEB                 | c1                   | 100
d   | 11     | customer | -        | -             | -           | -       | -      | -                   | -                    | -
e   | 3      | customer | T1       | LOST          | b1          | 7.00    | false  | SHOP                | -                    | -
"""
BEFORE = """
who | people | kind     | aum_tier | aum_eod
a   | 12     | customer | T1       | 90.00
b   | 10     | customer | T1       | 1.00
c   | 9      | prospect | T1       | 2.00
e   | 3      | customer | T1       | 6.00
f   | 10     | customer | T2       | 4.00
g   | 13     | customer | T3       | 5.00
"""
FIRST_OF = {name: 1_000_000_000_000 + 100 * at for at, name in enumerate("abcdefg", start=1)}


def snapshot(lake, text, day):
    """Write a snapshot of as many people as are drawn."""
    daily_contract = lake.contracts.get("tags.customer_tags_daily")
    rows = []
    for drawn in rows_of(text):
        for number in range(int(drawn["people"])):
            values = {**drawn, "one_id": FIRST_OF[drawn["who"]] + number, "as_of": day, "null_exceptions": []}
            rows.append(
                {name: cell(values.get(name), column.type) for name, column in daily_contract.columns.items()}
            )
    lake.replace_partition(
        "tags.customer_tags_daily",
        pa.Table.from_pylist(rows, schema=daily_contract.arrow_schema()),
        as_of=day,
    )


def profiles(lake, names_and_ids):
    """Make OneIDs known by one profile each, whose key is the name."""
    pairs = list(names_and_ids)
    common = {"anchor_profile_id": 1, "created_on": "2020-01-01", "status": "active", "profile_count": 1}
    write(
        lake,
        "identity.one_ids",
        [{"one_id": one_id, "kind": "customer", **common} for _, one_id in pairs],
    )
    write(
        lake,
        "identity.memberships",
        [{"one_id": one_id, "source_key": name, "profile_id": at} for at, (name, one_id) in enumerate(pairs)],
    )


# Of each kind of visitor two people for the funnel; times are of one day of March unless a day stands before them.
VISITS = {
    "whole": [("view", "10 10:00:00"), (QUOTED, "10 11:00:00"), ("bought", "10 12:00:00")],
    "to the second": [("view", "10 10:00:00"), (QUOTED, "12 10:00:00"), ("bought", "12 10:00:01")],
    "a second late": [("view", "10 10:00:00"), (QUOTED, "12 10:00:01")],
    "at once": [("view", "10 10:00:00"), (QUOTED, "10 10:00:00")],
    "the wrong way": [("bought", "10 08:00:00"), (QUOTED, "10 09:00:00"), ("view", "10 10:00:00")],
    "from the second view": [
        ("view", "01 10:00:00"),
        ("view", "10 10:00:00"),
        (QUOTED, "11 10:00:00"),
        ("bought", "12 10:00:01"),
    ],
}
# Of each five people for the retention.
LOGINS = {
    "next day": ["2024-03-01", "2024-03-02"],
    "a week later": ["2024-03-01", "2024-03-08"],
    "yesterday": ["2024-03-30", "2024-03-31"],
    "today": ["2024-03-31"],
    "long ago": ["2023-11-30", "2024-03-02"],
}


def visits(lake):
    events, people = [], []
    for at, (kind, steps) in enumerate(VISITS.items()):
        for number in range(2):
            name = f"{kind} {number}"
            people.append((name, 2_000_000_000_000 + 100 * at + number))
            events += [(name, event, f"2024-03-{moment}") for event, moment in steps]
    for at, (kind, days) in enumerate(LOGINS.items()):
        for number in range(5):
            name = f"{kind} {number}"
            people.append((name, 3_000_000_000_000 + 100 * at + number))
            events += [(name, "login", f"{day} 09:00:00") for day in days]
    for number in range(9):
        people.append((f"rare {number}", 4_000_000_000_000 + number))
        events.append((f"rare {number}", "rare", "2024-03-10 10:00:00"))
    # The day before the thirty, a device of nobody, and a row of tomorrow.
    people += [("early", 5_000_000_000_000), ("tomorrow", 5_000_000_000_001)]
    events += [("early", "view", "2024-03-01 10:00:00"), ("nobody", "view", "2024-03-10 10:00:00")]
    events += [("tomorrow", "view", "2024-04-01 10:00:00")]
    profiles(lake, people)
    write(
        lake,
        "trusted.events",
        [
            {"source_key": name, "event_name": event, "occurred_at": moment, "occurred_on": moment[:10], "event_id": str(at)}
            for at, (name, event, moment) in enumerate(events)
        ],
    )  # fmt: skip


def campaign(lake):
    """Ten people of a segment by SMS, nine by PUSH, and an audience of the day before the thirty."""
    runs = [("r1", "rollover", "2024-03-20"), ("r2", "rollover", "2024-03-21"), ("r0", "old", "2024-03-01")]
    write(
        lake,
        "segments.deliveries",
        [
            {"run_id": run, "destination": "engine", "code": code, "as_of": day, "seq": 1, "attempt": 1, "status": "DELIVERED",
             "accepted": 10, "rejected": 0, "manifest_sha256": "0"}
            for run, code, day in runs
        ],
    )  # fmt: skip
    write(
        lake,
        "segments.recipients",
        [
            {"destination": "engine", "recipient_key": f"k{number}", "one_id": FIRST_OF["a"] + number}
            for number in range(10)
        ],
    )
    receipts = [("r1", f"k{number}", "SMS", "SENT", "0.05", "CNY") for number in range(10)]
    receipts += [("r1", "k0", "SMS", "DELIVERED", None, None), ("r1", "k0", "SMS", "OPENED", None, None)]
    receipts += [
        ("r1", "k0", "SMS", "CONVERTED", None, None),
        ("r1", "k1", "SMS", "BOUNCED_HARD", None, None),
    ]
    # The same person again on the next day, and a contact that was never made.
    receipts += [("r2", "k0", "SMS", "SENT", "0.05", "CNY"), ("r2", "k2", "SMS", "CAPPED", None, None)]
    receipts += [("r2", "k0", "SMS", "COMPLAINED", None, None)]
    receipts += [("r1", f"k{number}", "PUSH", "SENT", None, None) for number in range(9)]
    receipts += [("r0", f"k{number}", "SMS", "SENT", None, None) for number in range(10)]
    write(
        lake,
        "trusted.receipts",
        [
            {"receipt_id": str(at), "run_id": run, "destination": "engine", "recipient_key": key, "channel": channel,
             "status": status, "event_on": "2024-03-22", "event_at": "2024-03-22 10:00:00", "cost": cost, "currency": currency}
            for at, (run, key, channel, status, cost, currency) in enumerate(receipts)
        ],
    )  # fmt: skip


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def bank(request, tmp_path_factory):
    """A lake with people of two days, their events and receipts, and its marts by one engine."""
    workspace = tmp_path_factory.mktemp("marts")
    spark = request.getfixturevalue("spark") if request.param == "spark" else None
    (workspace / "cdp.yml").write_text(f"time_zone: UTC\nengine: {request.param}\n")
    (workspace / "marts.yml").write_text(MARTS, encoding="utf-8")
    lake = open_lake(load_settings(workspace), spark=spark)
    lake.contracts.add(*tags.tag_contracts(lake.settings))
    lake.create()
    snapshot(lake, NOW, D)
    snapshot(lake, BEFORE, EARLIER)
    snapshot(lake, BEFORE, dt.date(2024, 2, 28))  # not the last of its month
    write(
        lake,
        "identity.redirects",
        [
            {"from_one_id": FIRST_OF["g"] + number, "to_one_id": FIRST_OF["a"] + number % 12}
            for number in range(13)
        ],
    )
    # What the first recipient answered before they were split concerns another one as well, and is one contact all the same.
    split = {"one_id": FIRST_OF["a"] + 11, "from_one_id": FIRST_OF["a"]}
    write(lake, "identity.inheritances", [{**split, "parted_on": "2024-03-23", "shared_until": "2024-03-23"}])
    write(lake, "trusted.campaigns", [{"campaign_id": "c1", "name": "O'Neill {{ 2 }}"}])
    visits(lake)
    campaign(lake)
    assert tags.build_marts(lake, D) == tuple(TABLES)
    return lake


def rows(lake, mart, *columns, **equals):
    """Give columns of the rows of a mart with these values, sorted."""
    mart_rows = lake.read_arrow(TABLES[mart]).to_pylist()
    wanted_rows = [row for row in mart_rows if all(row[name] == value for name, value in equals.items())]
    return sorted(tuple(row[name] for name in columns) for row in wanted_rows)


def money(text):
    return Decimal(text)


def test_a_stage_and_a_branch_of_few_people_are_together_with_the_next_smallest(bank):
    columns = ("stage", "branch_id", "people_count", "mau_count", "aum")
    assert rows(bank, "lifecycle_contribution", *columns, track="lifecycle_mau") == [
        ("GROW", "OTHER", 19, 9, money("-46.00")),  # b3 has nine, which b2 would tell by what is left
        ("GROW", "b1", 12, 12, money("1200.00")),
        ("OTHER", "OTHER", 14, 0, money("21.00")),  # three are LOST, eleven without a stage
    ]


def test_contributions_of_every_track_sum_to_the_snapshot(bank):
    for track in ("lifecycle_mau", "lifecycle_aum", "lifecycle_shop"):
        parts = rows(bank, "lifecycle_contribution", "people_count", "mau_count", "aum", track=track)
        assert tuple(map(sum, zip(*parts, strict=True))) == (45, 21, money("1175.00")), track
    shares = rows(
        bank, "lifecycle_contribution", "people_ratio", "mau_ratio", "aum_ratio", stage="GROW", branch_id="b1"
    )
    assert shares == [(money("0.266667"), money("0.571429"), money("1.021277"))]


def test_moves_between_tiers_say_who_is_new_gone_and_merged(bank):
    columns = ("from_tier", "to_tier", "people_count", "earlier_aum", "later_aum")
    assert rows(bank, "tier_migration", *columns, compared_on=EARLIER) == [
        ("NEW", "UNKNOWN", 11, money("0.00"), money("0.00")),
        (
            "OTHER",
            "OTHER",
            19,
            money("28.00"),
            money("-46.00"),
        ),  # nine from T1 to T3, and ten to T2 who would tell them
        ("T1", "T1", 15, money("1098.00"), money("1221.00")),
        ("T2", "GONE", 10, money("40.00"), money("0.00")),
        ("T3", "MERGED", 13, money("65.00"), money("0.00")),
    ]


def test_moves_sum_to_the_people_of_both_days(bank):
    sums = ("earlier_people_count", "later_people_count")
    assert tuple(map(sum, zip(*rows(bank, "tier_migration", *sums), strict=True))) == (57, 45)
    for track in ("lifecycle_mau", "lifecycle_aum", "lifecycle_shop"):
        parts = rows(bank, "stage_migration", *sums, track=track)
        assert tuple(map(sum, zip(*parts, strict=True))) == (57, 45), track


def test_steps_of_a_funnel_follow_one_another_in_time(bank):
    columns = ("step", "event_name", "started_count", "people_count", "step_ratio", "started_ratio")
    assert rows(bank, "event_funnel", *columns, funnel="buying") == [
        (1, "view", 12, 12, None, money("1.000000")),
        (2, QUOTED, 12, 6, money("0.500000"), money("0.500000")),
        (3, "bought", 12, 2, money("0.333333"), money("0.166667")),
    ]


def test_a_funnel_that_nine_people_began_has_no_row(bank):
    assert rows(bank, "event_funnel", "step", funnel="few") == []


def test_a_day_after_the_first_event_counts_once_it_is_over(bank):
    columns = (
        "cohort_on",
        "day_number",
        "people_count",
        "back_count",
        "back_within_count",
        "back_within_ratio",
    )
    march = dt.date(2024, 3, 1)
    assert rows(bank, "event_retention", *columns) == [
        (march, 1, 15, 10, 10, money("0.666667")),
        (march, 7, 10, 5, 10, money("1.000000")),
        (march, 30, 10, 0, 10, money("1.000000")),
    ]


def test_small_channels_and_campaigns_are_together(bank):
    columns = (
        "channel",
        "campaign_id",
        "campaign_name",
        "people_count",
        "customer_count",
        "new_customer_count",
    )
    assert rows(bank, "channel_acquisition", *columns) == [
        ("APP", "UNKNOWN", None, 10, 10, 0),
        ("APP", "c1", "O'Neill {{ 2 }}", 12, 12, 12),
        ("OTHER", "OTHER", None, 12, 3, 9),
        ("UNKNOWN", "UNKNOWN", None, 11, 11, 0),
    ]
    assert sum(aum for (aum,) in rows(bank, "channel_acquisition", "aum")) == money("1175.00")


def test_a_campaign_counts_contacts_and_the_people_in_them(bank):
    columns = (
        "segment", "channel", "run_count", "people_count", "contact_count", "touched_count", "delivered_count", "answered_count",
        "converted_count", "bounced_count", "refused_count", "answered_ratio", "cost", "currency",
    )  # fmt: skip
    assert rows(bank, "campaign_summary", *columns) == [
        ("rollover", "SMS", 2, 10, 12, 11, 1, 1, 1, 1, 1, money("0.090909"), money("0.55"), "CNY"),
    ]


def test_no_row_of_any_mart_tells_of_fewer_than_ten_people(bank):
    for mart in TABLES:
        column = "started_count" if mart == "event_funnel" else "people_count"
        counts = [count for (count,) in rows(bank, mart, column)]
        assert counts and min(counts) >= 10, mart


def test_keys_and_unit_tests_of_marts_hold(bank):
    project = bank.settings.generated / NIGHT
    sources = source_tables(compile_tags(bank.settings.workspace))
    engine = bank.settings.engine.name
    command = ("test", "--select", "tag:mart,test_type:unit", "tag:mart,tag:deep")
    unit_tests = load_yaml(MARTS_FOLDER / "unit_tests.yml")["unit_tests"]
    assert len(run_dbt(bank, project, D, sources, engine, command=command)) == len(TABLES) + len(unit_tests)


@pytest.mark.slow
def test_a_second_build_of_a_date_changes_no_row(bank):
    before = {mart: bank.read_arrow(table).to_pylist() for mart, table in TABLES.items()}
    tags.build_marts(bank, D)
    after = {mart: bank.read_arrow(table).to_pylist() for mart, table in TABLES.items()}
    assert {m: sorted(map(repr, r)) for m, r in after.items()} == {
        m: sorted(map(repr, r)) for m, r in before.items()
    }


@pytest.mark.slow
def test_without_the_variable_a_person_who_works_with_dbt_gets_the_same_day(bank):
    """A night says which snapshot is compared with; who runs dbt by hand has it looked up."""
    before = {mart: rows(bank, mart, "people_count", "later_aum") for mart in MIGRATIONS}
    project = bank.settings.generated / NIGHT
    sources = source_tables(compile_tags(bank.settings.workspace))
    selection = ("--select", *(f"+{mart}" for mart in MIGRATIONS))
    run_dbt(bank, project, D, sources, bank.settings.engine.name, selection=selection, excluded=())
    after = {
        mart: sorted((row["people_count"], row["later_aum"]) for row in built_rows(bank, mart).to_pylist())
        for mart in MIGRATIONS
    }
    assert after == before and before["tier_migration"]


@pytest.mark.slow
def test_many_people_are_counted_as_few_are(bank, monkeypatch):
    import tags.build.computation as computation

    before = {mart: sorted(map(repr, bank.read_arrow(table).to_pylist())) for mart, table in TABLES.items()}
    monkeypatch.setattr(computation, "SMALL_PEOPLE", 0)
    tags.build_marts(bank, D)
    assert {
        mart: sorted(map(repr, bank.read_arrow(table).to_pylist())) for mart, table in TABLES.items()
    } == before
