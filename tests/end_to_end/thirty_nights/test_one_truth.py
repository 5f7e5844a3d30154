"""Thirty nights of a simulated bank with heavy mess: on each of the last, tags say what suppression says."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse.query.desk import open_alone
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments.choosing.contact_history import channel_habits
from vocabulary.policy import CHANNELS, read_policy

BANK = Path(__file__).resolve().parents[3] / "examples" / "bank"
FIRST = date(2026, 11, 1)
LAST = FIRST + timedelta(days=29)
# The nights before are loaded in one pass; these are whole, each with the receipts of the audiences of the one before.
WHOLE = [LAST - timedelta(days=2), LAST - timedelta(days=1), LAST]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan, Rates

    folder = tmp_path_factory.mktemp("thirty")
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, folder, dirs_exist_ok=True, ignore=ignored)
    rates = Rates(
        family_phone=0.1,
        recycled_phone=0.05,
        complaints=0.03,
        controlled=0.04,
        profiling_refused=0.06,
        opt_outs_per_night=0.02,
    )
    simulate(BankPlan(people=1500, nights=30, seed=5, history_months=1, first=FIRST, rates=rates), folder)
    return load_settings(folder)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tags_and_suppression_say_the_same_after_each_of_the_last_nights(settings):
    from jobs.night.history import run_history
    from jobs.night.nightly import run_night
    from simulator.engine import answer

    run_history(settings, FIRST, WHOLE[0] - timedelta(days=1))
    met: Counter[str] = Counter()
    for day in WHOLE:
        outcome = run_night(settings, day)
        assert outcome.exit_code == 0
        met += compare(settings, day)
        answer(settings.published, settings.inbox, day)
    refused = open_lake(settings).read_arrow("quality.refused_rows", columns=["feed", "reasons"]).to_pylist()
    reasons = Counter(
        reason for row in refused if row["feed"] == "marketing_receipts" for reason in row["reasons"]
    )
    assert not {"unknown_run", "unknown_recipient"} & set(reasons), "the engine answers what it was given"
    assert (
        min(
            met[name]
            for name in ("reachable", "left alone", "controlled", "control", "touched", "habit", "sex")
        )
        > 5
    )


def compare(settings, day: date) -> Counter[str]:
    """Hold the published tags of a night against suppression's facts of the same night, and count who has any."""
    lake = open_lake(settings)
    tags = {row["one_id"]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
    facts = suppression_facts(settings, lake, day)
    assert set(facts) == set(tags) and {row["as_of"] for row in tags.values()} == {day}
    wrong: Counter[str] = Counter()
    met: Counter[str] = Counter()
    touches = touches_of(lake, day)
    with open_alone(settings.time_zone, folders=[settings.lake]) as desk:
        habits = {row["one_id"]: row["channel"] for row in channel_habits(lake, desk, day).to_pylist()}
    golden = {
        row["one_id"]: row["gender"]
        for row in lake.read_arrow("identity.golden_records").to_pylist()
        if row["valid_to"] is None
    }
    for one_id, row in tags.items():
        fact = facts[one_id]
        channels = sorted(
            c for c in CHANNELS if fact[f"allowed_marketing_{c.lower()}_1d"] and fact[f"usable_{c.lower()}"]
        )
        left_alone = fact["opt_out_marketing"] or fact["has_complained"]
        wrong["reachable"] += row["reachable_channels"] != channels
        wrong["left alone"] += row["is_do_not_disturb"] != left_alone
        wrong["controlled"] += row["is_account_controlled"] and not fact["is_restricted"]
        wrong["control"] += row["is_global_control"] != fact["is_control"]
        wrong["touched"] += row["touch_count_7d"] != touches[one_id]
        wrong["habit"] += row["channel_habit"] != habits.get(one_id, "NONE")
        wrong["sex"] += golden.get(one_id) is not None and row["gender"] != golden[one_id]
        met += Counter(
            {
                "reachable": bool(channels), "left alone": left_alone, "controlled": fact["is_restricted"],
                "control": fact["is_control"], "touched": touches[one_id] > 0, "habit": one_id in habits, "sex": golden.get(one_id) is not None,
            }
        )  # fmt: skip
    assert +wrong == Counter(), day
    return met


def suppression_facts(settings, lake, day: date) -> dict[int, dict]:
    """The leaf table of a segment over every channel, with the side of the global control group."""
    from segments.choosing.assignment import control_sql
    from segments.choosing.compile import compile_leaf_table
    from segments.choosing.earlier import read_earlier_nights
    from segments.choosing.leaf_tables import leaves_by_duckdb
    from segments.language.spec import read_segment

    file = settings.workspace / "every_channel.yml"
    text = (BANK / "segments" / "silent_app_users.yml").read_text(encoding="utf-8")
    lines = [
        f"contact: {{channels: [{', '.join(CHANNELS)}]}}" if line.startswith("contact:") else line
        for line in text.replace("code: silent_app_users", "code: every_channel").splitlines()
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    segment = read_segment(file)
    spec = segment.spec.model_copy(
        update={"publish": segment.spec.publish.model_copy(update={"valid_hours": 24})}
    )
    policy = read_policy(settings.workspace)
    segment = dataclasses.replace(segment, spec=spec)
    compiled = compile_leaf_table([segment], business_date=day, policy=policy)
    with open_alone(settings.time_zone, folders=[settings.lake]) as desk:
        leaves = leaves_by_duckdb(lake, desk, compiled, {}, day)
        rows = desk.arrow(f"SELECT * FROM {leaves.rows}").to_pylist()
        control = control_sql("GCG-2026H2", policy, read_earlier_nights(lake, desk, day).arms)
        sides = dict(
            desk.rows(f"SELECT c.one_id, {control.arm} = 'CONTROL' FROM {leaves.rows} c {control.join}")
        )
    return {row["one_id"]: {**row, "is_control": sides[row["one_id"]]} for row in rows}


def touches_of(lake, day: date) -> Counter[int]:
    """Contacts of marketing runs in seven days, counted from receipts, runs and recipients by hand."""
    now = {row["from_one_id"]: row["to_one_id"] for row in lake.read_arrow("identity.redirects").to_pylist()}
    persons = {
        (row["destination"], row["recipient_key"]): now.get(row["one_id"], row["one_id"])
        for row in lake.read_arrow("segments.recipients").to_pylist()
    }
    purposes = {
        (row["destination"], row["run_id"]): row["purpose"]
        for row in lake.read_arrow("segments.deliveries").to_pylist()
    }
    first: dict[tuple, date] = {}
    for row in lake.read_arrow("trusted.receipts").to_pylist():
        is_touch = row["status"] not in ("CAPPED", "QUIET_DEFERRED", "QUIET_DROPPED", "EXPIRED", "ASSIGNED")
        if is_touch and row["event_on"] <= day and purposes[row["destination"], row["run_id"]] == "marketing":
            person = persons[row["destination"], row["recipient_key"]]
            contact = (
                person,
                row["source"],
                row["destination"],
                row["run_id"],
                row["recipient_key"],
                row["channel"],
            )
            first[contact] = min(row["event_on"], first.get(contact, row["event_on"]))
    return Counter(
        contact[0] for contact, touched_on in first.items() if touched_on > day - timedelta(days=7)
    )
