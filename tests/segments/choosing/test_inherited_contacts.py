"""A refusal, a complaint and a bounce that came before a split hold for both parts, and so do the contacts that caps count."""

from __future__ import annotations

import datetime as dt

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, at, bank_lake, publish, rows_of, spec
from test_inherited_arms import ONE, OTHER, days_ago, live

from lakehouse.query.desk import open_alone
from lakehouse.settings.settings import load_settings
from segments.choosing.contact_history import contact_history

NOTICE = spec("notice", "unknown: include\nwhere: {tag: balance, gte: 100}")
# Nobody suppresses these two; 21 to 23 are numbers that nobody has today.
WHOLE, PART = ONE, OTHER
CAP = "caps: [{scope: global, max: 1, days: 7}]\n"


@pytest.fixture
def bank(make_workspace):
    """The bank before its night; nobody of it was ever contacted."""
    return bank_lake(load_settings(make_workspace({
        "cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML,
        "segments/notice.yml": NOTICE, "contact_policy.yml": CAP,
    })))  # fmt: skip


def contact(lake, one_id, status, *, run=None, on, channel="SMS"):
    """Let a receipt come so many days ago; ``run`` is how many days ago the night was that sent it, None where nobody knows."""
    key, day = f"key of {one_id}", days_ago(on)
    recipients = lake.read_arrow("segments.recipients", columns=["recipient_key"])[
        "recipient_key"
    ].to_pylist()
    if key not in recipients:
        lake.append("segments.recipients", rows_of("segments.recipients", [
            {"destination": "engine", "recipient_key": key, "one_id": one_id, "since": days_ago(30)}]))  # fmt: skip
    if run is not None:
        lake.append("segments.deliveries", rows_of("segments.deliveries", [
            {"run_id": f"run {run}", "destination": "engine", "code": "notice", "as_of": days_ago(run), "purpose": "marketing",
             "seq": run, "attempt": 1, "status": "DELIVERED", "accepted": 1, "rejected": 0, "manifest_sha256": "x"}]))  # fmt: skip
    lake.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": f"{status} {run} {on}", "run_id": f"run {run}", "destination": "engine", "recipient_key": key,
         "channel": channel, "status": status, "event_at": at(f"{day}T04:00:00"), "event_on": day, "_arrived_on": day}]))  # fmt: skip


def reasons(lake):
    """Why the night suppresses each of both, None for one it does not."""
    publish(lake, D)
    rows = lake.read_arrow("segments.suppressions", filters=[("as_of", "=", D)]).to_pylist()
    reason = {row["one_id"]: row["reason"] for row in rows}
    return {one_id: reason.get(one_id) for one_id in (WHOLE, PART)}


@pytest.mark.parametrize(("status", "reason"), [("REFUSED", "OPT_OUT"), ("COMPLAINED", "COMPLAINT")])
def test_what_was_answered_before_the_split_holds_for_both(bank, status, reason):
    contact(bank, WHOLE, status, run=4, on=3)
    live(bank, ("SPLIT", WHOLE, PART, 0))
    assert reasons(bank) == {WHOLE: reason, PART: reason}


def test_an_answer_after_the_split_to_a_contact_before_it_holds_for_both(bank):
    """Nobody knows whose telephone it was that the message reached."""
    contact(bank, WHOLE, "REFUSED", run=4, on=1)
    live(bank, ("SPLIT", WHOLE, PART, 3))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: "OPT_OUT"}


def test_an_answer_to_a_contact_after_the_split_is_that_of_its_own_part(bank):
    contact(bank, WHOLE, "REFUSED", run=3, on=2)
    live(bank, ("SPLIT", WHOLE, PART, 3))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: None}


@pytest.mark.parametrize(("on", "reason"), [(3, "OPT_OUT"), (2, None)])
def test_where_nobody_knows_the_run_the_contact_lies_on_the_night_before(bank, on, reason):
    contact(bank, WHOLE, "REFUSED", on=on)
    live(bank, ("SPLIT", WHOLE, PART, 3))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: reason}


def test_a_bounce_before_the_split_closes_the_channel_for_both(bank):
    for channel in ("SMS", "PUSH"):
        contact(bank, WHOLE, "BOUNCED_HARD", run=4 if channel == "SMS" else 5, on=3, channel=channel)
    live(bank, ("SPLIT", WHOLE, PART, 0))
    assert reasons(bank) == {WHOLE: "UNREACHABLE", PART: "UNREACHABLE"}


def test_a_refusal_of_one_who_was_merged_holds_for_a_part_of_the_whole(bank):
    contact(bank, 21, "REFUSED", run=9, on=8)
    live(bank, ("MERGE", 21, WHOLE, 6), ("SPLIT", WHOLE, PART, 0))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: "OPT_OUT"}


def test_a_refusal_goes_on_with_a_part_that_is_merged_with_somebody_else(bank):
    contact(bank, 21, "REFUSED", run=9, on=8)
    live(bank, ("SPLIT", 21, 22, 5), ("MERGE", 22, WHOLE, 3))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: None}


def test_who_refused_while_two_were_one_stays_refused_when_the_merge_is_undone(bank):
    contact(bank, WHOLE, "REFUSED", run=4, on=3)
    live(bank, ("MERGE", PART, WHOLE, 6), ("SPLIT", WHOLE, PART, 2), ("RESURRECT", None, PART, 2))
    assert reasons(bank) == {WHOLE: "OPT_OUT", PART: "OPT_OUT"}


def test_contacts_of_the_whole_fill_the_caps_of_both_parts(bank):
    contact(bank, WHOLE, "DELIVERED", run=4, on=3)
    live(bank, ("SPLIT", WHOLE, PART, 0))
    publish(bank, D)
    losses = bank.read_arrow("segments.contact_losses", filters=[("as_of", "=", D)]).to_pylist()
    assert {row["one_id"] for row in losses} >= {WHOLE, PART}


def test_a_contact_without_a_receipt_fills_the_caps_of_both_parts_once(bank):
    publish(bank, D)
    live(bank, ("SPLIT", WHOLE, 22, -1), ("SPLIT", WHOLE, 23, -1), ("MERGE", 23, WHOLE, -1))
    tomorrow = D + dt.timedelta(days=1)
    with open_alone(bank.settings.time_zone, folders=[bank.settings.lake]) as desk:
        people = [row["one_id"] for row in contact_history(bank, desk, tomorrow, 7).to_pylist()]
    assert sorted(people) == [WHOLE, 4, PART, 22], (
        "one part counts it too, and who is whole again counts it once"
    )
