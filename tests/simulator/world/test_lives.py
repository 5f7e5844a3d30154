"""What happens to people and files from night to night, read back from the deliveries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from delivery_files import content, lines, rows

from simulator.simulation import simulate
from simulator.world.bank import Bank, BankPlan
from simulator.world.rates import Rates

NIGHTS = ("2026-11-18", "2026-11-19", "2026-11-20")
OFTEN = replace(
    Rates(), deaths_per_night=0.2, moves_per_night=0.05, marriages_per_night=0.2, erasures_per_night=0.05,
    cut_last_lines=1.0, extra_columns=1.0, out_of_order=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    out = tmp_path_factory.mktemp("eventful")
    plan = BankPlan(people=1_500, nights=3, history_months=0, rates=OFTEN)
    simulate(plan, out)
    return out, Bank(plan)


def days_of_event(out, event):
    return {r["person"]: r["business_date"] for r in rows(out / "truth/lives.csv") if r["event"] == event}


def customers(out, night):
    person = {
        r["source_key"]: r["person"]
        for r in rows(out / "truth/profiles.csv")
        if r["source"] == "core_banking"
    }
    records = rows(out / f"inbox/core_customers/{night}/customers.csv.gz")
    return {
        r["cust_no"]: (person[r["cust_no"]], r)
        for r in records
        if r["cust_no"] and r["birth_date"] != "1987-02-31"
    }


def test_who_died_has_the_day_on_the_record_and_does_nothing_after(eventful):
    out, _ = eventful
    death_days = days_of_event(out, "died")
    day_pairs = [
        (death_days[p], r["death_date"]) for p, r in customers(out, NIGHTS[2]).values() if p in death_days
    ]
    assert len(day_pairs) > 10 and all(truth_day == record_day for truth_day, record_day in day_pairs)
    users = {
        r["source_key"]: r["person"] for r in rows(out / "truth/profiles.csv") if r["source"] == "mobile_app"
    }
    for night in NIGHTS[1:]:
        active_people = {
            users.get(e["user"]["id"]) for e in lines(out / f"inbox/app_events/{night}/events.jsonl.gz")
        }
        assert not {p for p, day in death_days.items() if day <= night} & active_people


def test_who_moved_has_another_city_and_branch_and_who_married_says_so(eventful):
    out, _ = eventful
    first_customers, last_customers = customers(out, NIGHTS[0]), customers(out, NIGHTS[2])
    move_days, marriage_days = days_of_event(out, "moved"), days_of_event(out, "married")
    record_pairs = [
        (first_customers[k][1], r)
        for k, (p, r) in last_customers.items()
        if p in move_days and k in first_customers
    ]
    assert len(record_pairs) > 30
    assert all(old["city"] != new["city"] for old, new in record_pairs)
    assert {r["marital"] for p, r in last_customers.values() if p in marriage_days} == {"MARRIED"}


def test_who_asks_for_erasure_and_is_a_caller_is_heard_by_the_call_centre(eventful):
    out, _ = eventful
    callers = {
        r["source_key"]: r["person"] for r in rows(out / "truth/profiles.csv") if r["source"] == "call_centre"
    }
    erasure_days = days_of_event(out, "asked_for_erasure")
    erasure_callers = {
        callers[row["caller_id"]]
        for night in NIGHTS
        for row in rows(out / f"inbox/call_centre_contacts/{night}/calls.csv", ";")
        if row["reason"] == "ERASURE_REQUEST"
    }
    assert erasure_callers and erasure_callers <= erasure_days.keys()


def test_a_cut_file_a_new_field_and_events_out_of_order_are_noted(eventful):
    out, _ = eventful
    notes = {(r["feed"], r["business_date"], r["file"]): r["note"] for r in rows(out / "truth/files.csv")}
    for night in NIGHTS[1:]:
        assert notes["call_centre_contacts", night, "calls.csv"] == "the last line is cut"
        assert content(out / f"inbox/call_centre_contacts/{night}/calls.csv")[-1:] != b"\n"
        assert notes["wecom_contacts", night, "contacts.jsonl"].endswith("tag_groups")
        assert all("tag_groups" in row for row in lines(out / f"inbox/wecom_contacts/{night}/contacts.jsonl"))
        times = [e["event"]["at"] for e in lines(out / f"inbox/app_events/{night}/events.jsonl.gz")]
        assert times != sorted(times)
        assert notes["app_events", night, "events.jsonl.gz"].endswith("events out of order")
