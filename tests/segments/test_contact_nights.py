"""Nights under a contact policy: what reaches files and tables, what later nights count, and that nobody passes a cap."""

from __future__ import annotations

import datetime as dt
import logging

import numpy as np
import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    bank_lake,
    publish,
    read_tags,
    rows_of,
    spec,
    surroundings,
    write_tags,
)

from delivery.audience_files import read_rows
from delivery.manifest import read_latest, read_manifest
from delivery.verification import verify
from lakehouse.errors import GateStopped
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.desk import open_alone, open_newest
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from segments.choosing.contact_history import branches_and_employees, channel_habits, contact_history
from segments.explaining.equations import equation_faults
from segments.explaining.preview import preview

NEXT = D + dt.timedelta(days=1)
# Run and definition of two segments without a rule of contact, as the version before contact policy gave them.
BEFORE = {
    "a": ("8a8dacb4c61aa9b974cebf4d", "573510f229c86ca929c34fa631553a8b"),
    "b": ("42b660224f8a9f26e5a2d0d9", "573510f229c86ca929c34fa631553a8b"),
}
RULE = "where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}\nunknown: exclude"
POLICY = """\
caps:
  - {scope: global, max: 2, days: 7}
  - {scope: SMS, max: 1, days: 1}
quiet: {from: "21:00", to: "09:00"}
"""


@pytest.fixture
def bank_with(make_workspace):
    """A lake of the bank of twelve people, of whom the rule chooses 1 (SMS) and 10 (PUSH)."""

    def make(files: dict[str, str]):
        folder = make_workspace(
            {
                "cdp.yml": "generate_secrets: true\n",
                "tags/test.yml": TAGS_YML,
                "destinations.yml": DESTINATIONS_YML,
                **files,
            }
        )
        lake = bank_lake(load_settings(folder))
        return lake

    return make


def three(contact: str = "", **more: str) -> dict[str, str]:
    """Three segments of the same people; a comes before b and b before c."""
    files = {}
    for number, code in enumerate("abc"):
        text = spec(code, RULE, columns="variant, channel")
        line = f"contact: {{channels: [SMS, PUSH], priority: {90 - number}{contact}}}"
        files[f"segments/{code}.yml"] = text.replace("contact: {channels: [SMS, PUSH]}", line)
    return {**files, **more}


def published(result) -> dict[str, dict[int, str]]:
    return {
        audience.code: {row["one_id"]: row["channel"] for row in audience.people.to_pylist()}
        for audience in result.audiences
    }


def losses(lake, day=D) -> dict:
    rows = lake.read_arrow("segments.contact_losses", filters=[("as_of", "=", day)]).to_pylist()
    return {(row["code"], row["one_id"]): (row["reason"], row["rule"], row["winner"]) for row in rows}


def earlier_winners(lake, day) -> set[tuple]:
    """The winners of a night's losses that are earlier contacts: segment, run, day, advantage and margin."""
    rows = lake.read_arrow("segments.contact_losses", filters=[("as_of", "=", day)]).to_pylist()
    names = ("winner", "winner_run_id", "winner_contact_on", "advantage", "margin")
    return {tuple(row[name] for name in names) for row in rows}


def receipt(
    lake, code: str, one_id: int, status: str, on: dt.date, *, channel="SMS", night=D, number=1
) -> None:
    delivery = next(
        row
        for row in lake.read_arrow("segments.deliveries").to_pylist()
        if (row["code"], row["as_of"]) == (code, night)
    )
    key = next(
        row["recipient_key"]
        for row in lake.read_arrow("segments.recipients").to_pylist()
        if (row["destination"], row["one_id"]) == ("engine", one_id)
    )
    rows = [{"receipt_id": f"{code}-{one_id}-{number}", "run_id": delivery["run_id"], "destination": "engine",
             "recipient_key": key, "channel": channel, "status": status, "event_at": at(f"{on}T04:00:00"),
             "event_on": on, "_arrived_on": night + dt.timedelta(days=1)}]  # fmt: skip
    lake.append("trusted.receipts", rows_of("trusted.receipts", rows))


def night(lake, day):
    write_tags(lake, read_tags(), day)
    return publish(lake, day)


def test_a_night_applies_the_policy_after_the_arms_and_its_books_balance(bank_with):
    lake = bank_with(three(**{"contact_policy.yml": POLICY}))
    result = publish(lake, D)
    assert published(result) == {"a": {1: "SMS", 10: "PUSH"}, "b": {10: "PUSH"}, "c": {}}
    assert losses(lake) == {
        ("b", 1): ("LOST_ARBITRATION", "cap:SMS:1/1d", "a"),
        ("c", 1): ("LOST_ARBITRATION", "cap:SMS:1/1d", "a"),
        ("c", 10): ("LOST_ARBITRATION", "cap:global:2/7d", "b"),
    }
    runs = {audience.code: audience.run_id for audience in result.audiences}
    rows = lake.read_arrow("segments.contact_losses").to_pylist()
    assert {(row["code"], row["winner_run_id"], row["advantage"], row["margin"]) for row in rows} == {
        ("b", runs["a"], "PRIORITY", 1.0), ("c", runs["a"], "PRIORITY", 2.0), ("c", runs["b"], "PRIORITY", 1.0),
    }  # fmt: skip
    counts = {audience.code: audience.counts for audience in result.audiences}
    assert counts["c"]["variants"] == {"DEFAULT": 2}, "who is dropped stays in the arm"
    assert counts["c"]["dropped_by_contact"] == {"LOST_ARBITRATION": 2}
    assert (counts["c"]["published"], counts["c"]["eligible"]) == (0, 2)
    members = lake.read_arrow("segments.members").to_pylist()
    assert {(row["code"], row["one_id"]) for row in members} == {(c, n) for c in "abc" for n in (1, 10)}
    assert not [
        row for row in lake.read_arrow("segments.suppressions").to_pylist() if row["one_id"] in (1, 10)
    ]
    with open_newest(lake.settings) as desk:
        assert equation_faults(lake, desk) == (3, [])
    assert all(v.failures == () for v in verify(lake.settings.published))


def test_the_books_show_a_loss_that_is_gone(bank_with):
    lake = bank_with(three(**{"contact_policy.yml": POLICY}))
    publish(lake, D)
    lake.overwrite("segments.contact_losses", lake.read_arrow("segments.contact_losses").slice(1))
    with open_newest(lake.settings) as desk:
        faults = equation_faults(lake, desk)[1]
    assert len(faults) == 1 and "rows of segments.contact_losses is" in faults[0]


def test_the_file_carries_the_send_window_in_every_format(bank_with):
    files = three(**{"contact_policy.yml": POLICY})
    for code, form in (("b", "csv"), ("c", "json_lines")):
        files[f"segments/{code}.yml"] = files[f"segments/{code}.yml"].replace(
            "format: parquet", f"format: {form}"
        )
    files["contact_policy.yml"] = 'quiet: {from: "21:00", to: "09:00"}\n'
    lake = bank_with(files)
    publish(lake, D)
    for code in "abc":
        root = lake.settings.published / "engine" / code
        run = root / read_latest(root)["path"]
        manifest = read_manifest(run)
        assert [(c["name"], c["type"], c["level"]) for c in manifest["schema"]][-2:] == [
            ("send_from", "string", "C1"), ("send_until", "string", "C1"),
        ]  # fmt: skip
        windows = {
            (row["send_from"].strip('"'), row["send_until"].strip('"'))
            for row in read_rows(run / "snapshot", manifest["format"]).to_pylist()
        }
        assert windows == {("2026-11-19T09:00:00+08:00", "2026-11-19T21:00:00+08:00")}


def test_a_workspace_without_policy_publishes_what_it_published_before(bank_with):
    lake = bank_with({"segments/a.yml": spec("a", RULE), "segments/b.yml": spec("b", RULE)})
    result = publish(lake, D)
    assert {a.code: (a.run_id, a.definition_hash) for a in result.audiences} == BEFORE
    assert published(result) == {"a": {1: "SMS", 10: "PUSH"}, "b": {1: "SMS", 10: "PUSH"}}
    assert result.audiences[0].people.column_names == ["one_id", "variant", "channel"]
    assert (
        lake.read_arrow("segments.contacts").num_rows
        == lake.read_arrow("segments.contact_losses").num_rows
        == 0
    )


@pytest.mark.slow
def test_later_nights_count_what_was_sent_and_the_delta_says_who_pauses(bank_with):
    lake = bank_with({"segments/a.yml": three()["segments/a.yml"], "contact_policy.yml": POLICY})
    assert published(publish(lake, D)) == {"a": {1: "SMS", 10: "PUSH"}}
    assert published(night(lake, NEXT)) == {"a": {1: "SMS", 10: "PUSH"}}
    third = NEXT + dt.timedelta(days=1)
    assert published(night(lake, third)) == {"a": {}}
    assert set(losses(lake, third).values()) == {("CAPPED", "cap:global:2/7d", "a")}
    (second,) = lake.read_arrow("segments.runs", filters=[("as_of", "=", NEXT)]).to_pylist()
    assert earlier_winners(lake, third) == {("a", second["run_id"], third, "EARLIER_CONTACT", None)}
    changes = lake.read_arrow("segments.changes", filters=[("as_of", "=", third)]).to_pylist()
    assert {(row["one_id"], row["op"], row["cause"]) for row in changes} == {
        (1, "EXIT", "contact"), (10, "EXIT", "contact"),
    }  # fmt: skip
    eighth = D + dt.timedelta(days=7)
    for day in range(3, 7):
        assert published(night(lake, D + dt.timedelta(days=day))) == {"a": {}}
    assert published(night(lake, eighth)) == {"a": {1: "SMS", 10: "PUSH"}}, (
        "the first contact is seven days old"
    )
    changes = lake.read_arrow("segments.changes", filters=[("as_of", "=", eighth)]).to_pylist()
    assert {(row["op"], row["cause"]) for row in changes} == {("ENTER", "contact")}
    members = lake.read_arrow("segments.members", filters=[("as_of", "=", eighth)]).to_pylist()
    assert {row["entered_on"] for row in members} == {D}, "who pauses has not left the segment"
    assert all(v.failures == () for v in verify(lake.settings.published))


@pytest.mark.slow
def test_a_rerun_of_a_night_counts_its_own_sends_once(bank_with):
    lake = bank_with(three(**{"contact_policy.yml": POLICY}))
    first = publish(lake, D)
    night(lake, NEXT)
    names = ("members", "changes", "contacts", "contact_losses", "runs", "recipients", "deliveries")
    before = {name: table_hash(lake.settings, f"segments.{name}") for name in names}
    again = publish(lake, NEXT)
    assert {name: table_hash(lake.settings, f"segments.{name}") for name in names} == before
    assert again.summary() != first.summary(), "the second night is under the first one's contacts"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("receipts", "is_contacted"),
    [
        ([], False),
        ([("SENT", 1)], False),
        ([("DELIVERED", 1), ("OPENED", 1)], False),
        ([("BOUNCED_SOFT", 1)], False),
        ([("EXPIRED", 1)], True),
        ([("CAPPED", 1)], True),
        ([("QUIET_DROPPED", 1)], True),
        ([("QUIET_DEFERRED", 1)], False),
        ([("QUIET_DEFERRED", 1), ("QUIET_DROPPED", 1)], True),
        ([("EXPIRED", 9)], False),
        ([("SENT", 9)], False),
    ],
)
def test_receipts_tell_what_became_of_a_send_and_those_of_the_future_tell_nothing(
    bank_with, receipts, is_contacted
):
    lake = bank_with(
        {
            "segments/a.yml": spec("a", RULE),
            "contact_policy.yml": "caps: [{scope: global, max: 1, days: 7}]\n",
        }
    )
    publish(lake, D)
    for number, (status, days) in enumerate(receipts):
        receipt(lake, "a", 1, status, D + dt.timedelta(days=days), number=number)
    assert (1 in published(night(lake, NEXT))["a"]) is is_contacted


def test_a_receipt_counts_on_its_own_channel_and_day(bank_with):
    policy = "caps: [{scope: SMS, max: 1, days: 7}]\n"
    lake = bank_with({"segments/a.yml": spec("a", RULE), "contact_policy.yml": policy})
    publish(lake, D)
    receipt(lake, "a", 1, "SENT", NEXT, channel="PUSH")
    assert 1 in published(night(lake, NEXT))["a"], "the SMS became a push"
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        rows = contact_history(lake, desk, NEXT, 7).to_pylist()
    assert {(row["one_id"], row["channel"], row["contact_on"], row["code"]) for row in rows} == {
        (1, "PUSH", NEXT, "a"), (10, "PUSH", NEXT, "a"),
    }  # fmt: skip


def test_a_receipt_that_fills_a_cap_is_told_by_its_own_day_and_run(bank_with):
    """The send was due on the next day; the receipt says when it was made, and by which of its runs."""
    policy = "caps: [{scope: global, max: 1, days: 7}]\n"
    files = {**three(), "contact_policy.yml": policy}
    lake = bank_with({"segments/a.yml": files["segments/a.yml"], "contact_policy.yml": policy})
    run = publish(lake, D).audiences[0].run_id
    third = NEXT + dt.timedelta(days=1)
    receipt(lake, "a", 1, "SENT", third)
    (lake.settings.workspace / "segments/b.yml").write_text(files["segments/b.yml"], encoding="utf-8")
    night(lake, third)
    rows = lake.read_arrow("segments.contact_losses", filters=[("as_of", "=", third)]).to_pylist()
    assert {(row["code"], row["one_id"]): (row["winner"], row["winner_run_id"], row["winner_contact_on"]) for row in rows} == {
        ("a", 1): ("a", run, third), ("b", 1): ("a", run, third), ("a", 10): ("a", run, NEXT), ("b", 10): ("a", run, NEXT),
    }  # fmt: skip


def test_contacts_of_a_merged_person_are_the_survivors(bank_with):
    policy = "caps: [{scope: global, max: 1, days: 7}]\n"
    lake = bank_with({"segments/a.yml": spec("a", RULE), "contact_policy.yml": policy})
    publish(lake, D)
    lake.append("identity.redirects", rows_of("identity.redirects", [{"from_one_id": 10, "to_one_id": 1}]))
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        assert [row["one_id"] for row in contact_history(lake, desk, NEXT, 7).to_pylist()] == [1, 1]


@pytest.mark.slow
def test_a_service_notice_is_neither_limited_nor_counted(bank_with):
    files = three(**{"contact_policy.yml": "caps: [{scope: global, max: 1, days: 7}]\n"})
    files["segments/s.yml"] = spec("s", RULE, purpose="service")
    files["consent.yml"] = "purposes: {service: {consent: not_required, why: a contract}}\n"
    lake = bank_with(files)
    first = publish(lake, D)
    assert set(published(first)["s"]) >= {1, 10}
    assert set(published(first)["a"]) == {1, 10}
    assert set(published(night(lake, NEXT))["s"]) >= {1, 10}


def test_a_segments_own_rules_hold_without_a_policy_of_the_site(bank_with):
    lake = bank_with(three(", caps: [{scope: global, max: 1, days: 7}]"))
    assert published(publish(lake, D)) == {"a": {1: "SMS", 10: "PUSH"}, "b": {}, "c": {}}


def test_a_quiet_period_drops_what_cannot_wait_so_long(bank_with):
    policy = (
        'quiet: {from: "21:00", to: "09:00", max_defer_h: 48}\n'
        "do_not_disturb:\n  - {from: 2026-11-19, to: 2026-11-19, channels: [SMS], why: a day of mourning}\n"
    )
    spec_of = spec("a", RULE).replace("columns:", "valid_hours: 72, columns:")
    lake = bank_with({"segments/a.yml": spec_of, "contact_policy.yml": policy})
    rows = {row["one_id"]: row for row in publish(lake, D).audiences[0].people.to_pylist()}
    assert rows[1]["send_from"] == "2026-11-20T09:00:00+08:00"
    assert rows[10]["send_from"] == "2026-11-19T09:00:00+08:00"
    short = policy.replace("max_defer_h: 48", "on_hit: drop")
    (lake.settings.workspace / "contact_policy.yml").write_text(short)
    result = night(lake, D)
    assert published(result) == {"a": {10: "PUSH"}}
    assert losses(lake)["a", 1] == ("QUIET_DROPPED", "quiet", None)


IMPATIENT = 'quiet: {from: "21:00", to: "09:00", on_hit: drop}'
PATIENT = 'quiet: {from: "22:00", to: "08:00", on_hit: defer, max_defer_h: 700}'
MOURNING = (
    "do_not_disturb:\n  - {from: 2026-11-19, to: 2026-11-19, channels: [SMS], why: a day of mourning}\n"
)


@pytest.mark.parametrize(
    ("site", "own"), [(IMPATIENT, PATIENT), (PATIENT, IMPATIENT)], ids=["site", "segment"]
)
def test_quiet_hours_that_drop_are_not_loosened_by_others_that_wait(bank_with, site, own):
    text = spec("a", RULE).replace("columns:", "valid_hours: 72, columns:").replace("PUSH]", f"PUSH], {own}")
    lake = bank_with({"segments/a.yml": text, "contact_policy.yml": f"{site}\n{MOURNING}"})
    assert published(publish(lake, D)) == {"a": {10: "PUSH"}}
    assert losses(lake)["a", 1] == ("QUIET_DROPPED", "quiet", None)
    make_visible(lake, D, "first", {})
    figures = preview(lake.settings, surroundings(lake.settings), "a")
    assert figures.counts["dropped_by_contact"]["QUIET_DROPPED"] == 1
    assert [(row["one_id"], row["send_until"]) for row in figures.people] == [
        (10, "2026-11-19T21:00:00+08:00")
    ]


def test_a_size_that_contact_policy_makes_too_small_stops_the_night(bank_with):
    files = three(**{"contact_policy.yml": "caps: [{scope: global, max: 1, days: 7}]\n"})
    files["segments/c.yml"] = files["segments/c.yml"].replace(
        "unknown: exclude", "unknown: exclude\nguards: {size: {min: 1}}"
    )
    lake = bank_with(files)
    with pytest.raises(GateStopped, match=r"the audience has 0 people and guards\.size\.min is 1"):
        publish(lake, D)
    assert lake.read_arrow("segments.runs").num_rows == 0


def test_a_nested_segment_reads_members_whether_or_not_they_are_contacted(bank_with):
    files = three(**{"contact_policy.yml": "caps: [{scope: global, max: 1, days: 7}]\n"})
    files["segments/d.yml"] = spec("d", "where: {segment: c}").replace(
        "[SMS, PUSH]", "[SMS, PUSH], priority: 0"
    )
    lake = bank_with(files)
    counts = {audience.code: audience.counts for audience in publish(lake, D).audiences}
    assert (counts["c"]["published"], counts["d"]["candidates"]) == (0, 2)


def test_with_capacities_the_night_prints_the_gap_to_the_linear_bound(bank_with, caplog):
    policy = "capacities: [{scope: SMS, max: 0}, {scope: PUSH, max: 1, per: branch}]\n"
    lake = bank_with(three(**{"contact_policy.yml": policy}))
    with caplog.at_level(logging.INFO, logger="cdp.segments"):
        result = publish(lake, D)
    assert published(result) == {"a": {10: "PUSH"}, "b": {}, "c": {}}
    assert any("a gap of 0.00% to the linear bound" in record.getMessage() for record in caplog.records)
    assert losses(lake)["a", 1] == ("LOST_ARBITRATION", "capacity:SMS", None)
    assert losses(lake)["b", 10] == ("LOST_ARBITRATION", "capacity:PUSH:branch", "a")


def test_the_expected_value_of_a_tag_decides_between_equal_priorities(bank_with):
    value = {"a": "days_left", "b": "balance"}
    files = {
        f"segments/{code}.yml": spec(code, RULE).replace("[SMS, PUSH]", f"[SMS, PUSH], expected_value: {tag}")
        for code, tag in value.items()
    }
    lake = bank_with({**files, "contact_policy.yml": "caps: [{scope: global, max: 1, days: 7}]\n"})
    assert published(publish(lake, D)) == {"a": {}, "b": {1: "SMS", 10: "PUSH"}}


@pytest.mark.slow
@pytest.mark.parametrize("nights", [4, 30])
def test_nights_of_chance_leave_nobody_above_a_cap(bank_with, nights):
    """Segments, candidates and receipts are drawn each night; nobody passes 2 in 7 days, 1 SMS a day or 3 pushes in 14."""
    rng = np.random.default_rng(18)
    policy = POLICY + "never_together: [{segments: [a, c], days: 3}]\n"
    policy = policy.replace("quiet", "  - {scope: PUSH, max: 1, days: 5}\nquiet")
    lake = bank_with(three(", channel_pick: channel_habit", **{"contact_policy.yml": policy}))
    lake.append("trusted.identifier_observations", rows_of("trusted.identifier_observations", [
        {"source_key": f"c{n}", "namespace": "app_user_id@app", "value": f"u{n}", "role": "identity"} for n in range(1, 13)]))  # fmt: skip
    contacts = []
    for number in range(nights):
        day = D + dt.timedelta(days=number)
        people = [
            {**row, "tier": str(rng.choice(["T1", "T3"])), "balance": 200 + row["balance"]}
            for row in read_tags()
        ]
        write_tags(lake, people, day)
        for code, by_person in published(publish(lake, day)).items():
            for one_id, channel in by_person.items():
                contacts.append((one_id, code, channel, day + dt.timedelta(days=1)))
                if rng.random() < 0.5:
                    status = str(rng.choice(["SENT", "OPENED", "CLICKED"]))
                    receipt(
                        lake, code, one_id, status, day + dt.timedelta(days=1), channel=channel, night=day
                    )
    assert len(contacts) > nights // 2
    for one_id in {one for one, *_ in contacts}:
        own = [(code, channel, day) for one, code, channel, day in contacts if one == one_id]
        for _, _, last in own:
            recent = [(code, channel) for code, channel, day in own if 0 <= (last - day).days < 7]
            assert len(recent) <= 2
            assert sum(channel == "SMS" for _, channel, day in own if day == last) <= 1
            assert sum(channel == "PUSH" for _, channel, day in own if 0 <= (last - day).days < 5) <= 1
            near = {code for code, _, day in own if 0 <= (last - day).days < 3}
            assert not {"a", "c"} <= near
    with open_newest(lake.settings) as desk:
        assert equation_faults(lake, desk) == (3 * nights, [])
    verdicts = verify(lake.settings.published)
    assert len(verdicts) == 3 * nights + 3 and all(v.failures == () for v in verdicts)


@pytest.mark.slow
def test_habits_follow_the_definition_of_their_tag(bank_with):
    lake = bank_with({"segments/a.yml": spec("a", RULE)})
    publish(lake, D)
    night(lake, NEXT)
    # 1 opens SMS once of one delivered, clicks PUSH twice; 10 leaves an SMS and a PUSH unopened and then opens in WeChat.
    for number, (status, channel) in enumerate(
        [("DELIVERED", "SMS"), ("OPENED", "SMS"), ("CLICKED", "PUSH"), ("OPENED", "PUSH")]
    ):
        receipt(lake, "a", 1, status, NEXT, channel=channel, number=number)
    receipt(lake, "a", 10, "CLICKED", NEXT, channel="EMAIL")
    receipt(lake, "a", 10, "OPENED", NEXT, channel="EMAIL", number=7)
    receipt(lake, "a", 10, "DELIVERED", NEXT, channel="SMS", number=2)
    receipt(lake, "a", 10, "SENT", NEXT, channel="PUSH", number=3)
    receipt(lake, "a", 10, "SENT", NEXT, channel="CALL", number=6)
    later = NEXT + dt.timedelta(days=1)

    def habit(day):
        with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
            return {row["one_id"]: row["channel"] for row in channel_habits(lake, desk, day).to_pylist()}

    assert habit(NEXT) == {1: "PUSH", 10: "EMAIL"}
    receipt(lake, "a", 10, "OPENED", later, channel="WECHAT", night=NEXT, number=4)
    assert habit(later) == {1: "PUSH", 10: "EMAIL"}, "what was only sent was not left unopened"
    receipt(lake, "a", 10, "DELIVERED", NEXT, channel="PUSH", number=5)
    assert habit(later) == {1: "PUSH", 10: "WECHAT"}
    assert habit(later + dt.timedelta(days=200)) == {}


def test_an_employee_and_a_branch_are_found_by_the_relationship_that_holds(bank_with):
    lake = bank_with({"segments/a.yml": spec("a", RULE)})
    lake.append("trusted.relationships", rows_of("trusted.relationships", [
        {"relationship_type": "person_manager", "from_source": "core", "from_key": key, "to_source": "core", "to_key": to,
         "role": role, "ended_on": end}
        for key, to, role, end in [
            ("c1", "e1", "manager", None), ("c1", "e0", "remote_seat", None), ("c2", "e2", "manager", D), ("c3", "e0", "remote_seat", None)]
    ]))  # fmt: skip
    lake.append("trusted.employees", rows_of("trusted.employees", [
        {"employee_id": "e1", "branch_id": "b1", "status": "active"}, {"employee_id": "e0", "branch_id": "b0", "status": "active"}]))  # fmt: skip
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        asked = desk.keep("asked", "SELECT unnest([1, 2, 3]) AS one_id")
        rows = {
            row["one_id"]: (row["branch"], row["employee"])
            for row in branches_and_employees(lake, desk, D, asked).to_pylist()
        }
    assert rows == {1: ("core/b1", "core/e1"), 3: ("core/b0", "core/e0"), 2: (None, None)}
