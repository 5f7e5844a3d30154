"""Worklists: whose work a person is, in which order, named by a key that employees know, and what they answer."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from segment_bank import (
    TAGS_YML,
    D,
    at,
    bank_lake,
    catalogue_of,
    publish,
    read_tags,
    rows_of,
    spec,
    write_tags,
)

from delivery.audience_files import read_rows
from delivery.contract.verify_audience import verify_run
from delivery.destinations import read_destinations
from delivery.disclosures import WorklistSettings
from delivery.manifest import read_latest, read_manifest
from jobs.cli import run as cdp
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings

NEXT = D + dt.timedelta(days=1)
TEXTS = {
    "reason": {"zh": "资产流失", "en": "Assets are leaving"},
    "talking_points": {"zh": ["先问近况", "说明续期方案"], "en": ["Ask how they are", "Explain the renewal"]},
}
BODY = "where: {tag: tier, in: [T1, T2, T3]}\nunknown: exclude\nworklist: " + json.dumps(
    TEXTS, ensure_ascii=False
)
POLICY = "capacities: [{scope: CALL, per: employee, max: 2}, {scope: BRANCH, per: employee, max: 9}]\n"


def destinations_yml(*, ceiling="C2", sources=("crm", "core"), approval: object = "fitting", **more) -> str:
    worklist: dict = {"sources": list(sources), **more}
    if approval == "fitting":
        wanted_hash = WorklistSettings(sources=list(dict.fromkeys(sources)) or ["crm"]).hash_for("desk")
        approval = {"by": "privacy_office", "date": "2026-11-01", "hash": wanted_hash}
    if approval is not None:
        worklist["approval"] = approval
    place = {
        "kind": "worklist",
        "description": "the managers' desk",
        "ceiling": ceiling,
        "worklist": worklist,
    }
    return json.dumps(
        {"destinations": {"desk": place, "engine": {"description": "an engine", "ceiling": "C2"}}}
    )


def worklist_spec(
    code="care",
    body=BODY,
    destinations="desk",
    channels="CALL, BRANCH",
    contact="",
    columns="channel, tier",
    form="parquet",
):
    text = spec(code, body, columns=columns, format=form)
    text = text.replace("channels: [SMS, PUSH]", f"channels: [{channels}]{contact}")
    return text.replace("destinations: [engine]", f"destinations: [{destinations}]")


# person | employee | role | since; who is not named has none
MANAGERS = """
1 | E1 | manager
2 | E1 | manager
4 | E1 | manager
3 | E2 | manager
3 | S1 | remote_seat
10| S1 | remote_seat
11| E9 | manager
11| S1 | remote_seat
"""


@pytest.fixture
def bank(make_workspace):
    """A function that makes a bank whose people are looked after, with one segment."""

    def make(text: str = "", policy: str = POLICY, name: str = "workspace", **files: str):
        folder = make_workspace(
            {
                "cdp.yml": "generate_secrets: true\nlanguage: zh\n",
                "tags/test.yml": TAGS_YML,
                "destinations.yml": destinations_yml(),
                "contact_policy.yml": policy,
                "segments/care.yml": text or worklist_spec(),
                **files,
            },
            name,
        )
        rows = [{**row, "tier": row["tier"] or "T1"} for row in read_tags()]
        lake = bank_lake(load_settings(folder), rows)
        lake.append("identity.memberships", rows_of("identity.memberships", [
            {"one_id": n, "source": "crm", "source_key": f"crm{n}", "profile_id": 200 + n} for n in (1, 2, 3, 10)]))  # fmt: skip
        relations = []
        for line in MANAGERS.strip().splitlines():
            number, employee, role = (cell.strip() for cell in line.split("|"))
            relations.append({"relationship_type": "person_manager", "from_source": "core", "from_key": f"c{number}",
                              "to_source": "core", "to_key": employee, "role": role})  # fmt: skip
        lake.append("trusted.relationships", rows_of("trusted.relationships", relations))
        lake.append("trusted.employees", rows_of("trusted.employees", [
            {"employee_id": e, "branch_id": b, "status": s}
            for e, b, s in (("E1", "B1", "active"), ("E2", "B2", "active"), ("S1", "B0", "active"), ("E9", "B9", "inactive"))]))  # fmt: skip
        lake.append("trusted.customers", rows_of("trusted.customers", [
            {"source": "crm", "source_key": f"crm{n}", "kind": "customer", "branch_id": "B7", "birth_date": dt.date(1980, 1, 1)}
            for n in (1, 2, 3, 10)]))  # fmt: skip
        return lake

    return make


def newest_run(lake, segment="care", destination="desk"):
    root = lake.settings.published / destination / segment
    return root / read_latest(root)["path"]


def faults_of(lake, run) -> tuple:
    """What a consumer finds wrong with a run."""
    return tuple(verify_run(run, keys=lambda _: lake.settings.secret("verification_key_desk")).failures)


def rows_by_person(lake, **place) -> dict[int, dict]:
    run = newest_run(lake, **place)
    keys = lake.read_arrow("segments.recipients").to_pylist()
    names = {
        row["recipient_key"]: row["one_id"]
        for row in keys
        if row["destination"] == place.get("destination", "desk")
    }
    rows = read_rows(run / "snapshot", read_manifest(run)["format"]).to_pylist()
    return {names[row.pop("recipient_key")]: row for row in rows}


def test_each_person_is_the_work_of_one_desk_and_named_by_its_key(bank):
    lake = bank()
    publish(lake, D)
    rows = rows_by_person(lake)
    places = {
        n: (row["source"], row["source_key"], row["employee"], row["branch"]) for n, row in rows.items()
    }
    assert places == {
        1: ("crm", "crm1", "core/E1", "core/B1"),
        4: ("core", "c4", "core/E1", "core/B1"),
        3: ("crm", "crm3", "core/E2", "core/B2"),
        10: ("crm", "crm10", "core/S1", "core/B0"),
    } | {n: places[n] for n in (2,) if n in places}
    assert (rows[3]["reason"], rows[3]["talking_points"]) == ("资产流失", ["先问近况", "说明续期方案"])
    assert rows[3]["priority"] == 50 and rows[3]["tier"] == "T1" and rows[3]["channel"] == "CALL"
    assert list(rows[3]) == ["source", "source_key", "branch", "employee", "position", "priority", "reason", "talking_points",
                             "channel", "tier", "send_from", "send_until"]  # fmt: skip
    levels = {column["name"]: column["level"] for column in read_manifest(newest_run(lake))["schema"]}
    assert (levels["source_key"], levels["employee"], levels["reason"]) == ("C2", "C2", "C1")
    assert "one_id" not in levels


def test_a_desk_takes_no_more_than_its_capacity_in_the_order_of_worth(bank):
    contact = ", priority: 80, expected_value: balance"
    text = worklist_spec(channels="CALL", contact=contact)
    one = bank(text, policy="capacities: [{scope: CALL, per: employee, max: 1}]\n")
    publish(one, D)
    rows = rows_by_person(one)
    assert {n for n, row in rows.items() if row["employee"] == "core/E1"} == {1}, "the richest of three"
    many = bank(text, policy="capacities: [{scope: CALL, per: employee, max: 9}]\n", name="many")
    publish(many, D)
    rows = rows_by_person(many)
    assert {n: (row["employee"], row["position"], row["priority"]) for n, row in rows.items()} == {
        1: ("core/E1", 1, 80), 4: ("core/E1", 2, 80), 3: ("core/E2", 1, 80), 10: ("core/S1", 1, 80),
    }  # fmt: skip


def test_who_has_no_employee_is_the_work_of_the_branch_and_who_has_no_desk_or_key_is_counted(bank):
    lake = bank(
        policy="capacities:\n  - {scope: CALL, per: employee, max: 1, each: {'': 99}}\n  - {scope: BRANCH, per: employee, max: 1, each: {'': 99}}\n"
    )
    gone = {"relationship_type": "person_manager", "from_source": "core", "to_source": "core", "role": "manager", "from_key": "c1",
            "to_key": "E1"}  # fmt: skip
    lake.overwrite("trusted.relationships", rows_of("trusted.relationships", [
        {**gone, "ended_on": D}, {**gone, "from_key": "c2", "started_on": NEXT},
        {**gone, "from_key": "c3", "to_key": "E9"}, {**gone, "from_key": "c10", "to_key": "E404"}]))  # fmt: skip
    publish(lake, D)
    rows = rows_by_person(lake)
    assert {n: (row["employee"], row["branch"]) for n, row in rows.items()} == {
        1: (None, "crm/B7"), 2: (None, "crm/B7"), 3: (None, "crm/B7"), 10: ("core/E404", "crm/B7"),
    }, "an end, a beginning tomorrow, an employee who left; one of whom only the key is known"  # fmt: skip
    assert sorted(row["position"] for row in rows.values()) == [1, 1, 2, 3]
    counts = read_manifest(newest_run(lake))["counts"]
    assert (
        counts["dropped_by_contact"] == {"NO_DESK": 1}
        and counts["published"] == 4 == counts["consent"]["granted"]
    )
    assert faults_of(lake, newest_run(lake)) == ()


def test_a_person_whom_the_system_does_not_know_is_left_out_and_counted(bank, caplog):
    lake = bank(**{"destinations.yml": destinations_yml(sources=["crm"])})
    publish(lake, D)
    assert rows_by_person(lake).keys() == {1, 2, 3, 10} and read_manifest(newest_run(lake))["counts"]["dropped_by_contact"][
        "NO_KEY"
    ] == 1  # fmt: skip
    assert "the worklist desk of segment care lacks 1 people: NO_KEY" in caplog.text


@pytest.mark.slow
def test_the_same_night_again_writes_nothing_and_another_manager_is_another_run(bank):
    lake = bank()
    publish(lake, D)
    first, files = newest_run(lake), sorted(lake.settings.published.rglob("*"))
    publish(lake, D)
    assert newest_run(lake) == first and sorted(lake.settings.published.rglob("*")) == files
    relations = lake.read_arrow("trusted.relationships").to_pylist()
    moved = [{**row, "to_key": "E2"} if row["from_key"] == "c1" else row for row in relations]
    lake.overwrite("trusted.relationships", rows_of("trusted.relationships", moved))
    publish(lake, D)
    assert newest_run(lake) != first and rows_by_person(lake)[1]["employee"] == "core/E2"
    write_tags(
        lake, [{**row, "tier": row["tier"] or "T1"} for row in read_tags() if row["one_id"] != 3], NEXT
    )
    publish(lake, NEXT)
    run = newest_run(lake)
    ops = {row["op"] for row in read_rows(run / "delta", "parquet").to_pylist()}
    assert "EXIT" in ops and faults_of(lake, run) == ()


def test_what_was_disclosed_on_whose_approval_is_a_row(bank):
    lake = bank()
    publish(lake, D)
    (row,) = lake.read_arrow("segments.directories").to_pylist()
    assert (row["destination"], row["content"], row["level"], row["approved_by"]) == (
        "desk",
        "worklist",
        "C2",
        "privacy_office",
    )
    assert row["people"] == len(rows_by_person(lake)) and {"source_key", "employee", "tier"} <= set(
        row["columns"]
    )
    assert row["run_id"] == read_manifest(newest_run(lake))["run_id"]


def test_an_engine_beside_it_gets_the_audience_without_keys_or_employees(bank):
    lake = bank(worklist_spec(destinations="engine, desk", form="csv"))
    publish(lake, D)
    row = next(iter(rows_by_person(lake, destination="engine").values()))
    assert list(row) == ["channel", "tier", "send_from", "send_until"]
    desk = read_manifest(newest_run(lake))
    engine = read_manifest(newest_run(lake, destination="engine"))
    assert desk["run_id"].startswith(engine["run_id"]) and desk["run_id"] != engine["run_id"]
    assert next(iter(rows_by_person(lake).values()))["talking_points"] == "先问近况|说明续期方案"


def test_who_withdraws_leaves_a_worklist_that_no_night_replaces(bank):
    lake = bank()
    publish(lake, D)
    (lake.settings.workspace / "segments" / "care.yml").unlink()
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c1", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-11-18"),
         "valid_from": D}]))  # fmt: skip
    before = rows_by_person(lake)
    publish(lake, D)
    after = rows_by_person(lake)
    assert before.keys() - after.keys() == {1} and after == {n: row for n, row in before.items() if n != 1}
    assert faults_of(lake, newest_run(lake)) == ()


def test_what_is_on_a_worklist_counts_as_a_contact_of_the_next_nights(bank):
    lake = bank(policy=POLICY + "caps: [{scope: global, max: 1, days: 7}]\n")
    publish(lake, D)
    first = rows_by_person(lake).keys()
    write_tags(lake, [{**row, "tier": row["tier"] or "T1"} for row in read_tags()], NEXT)
    publish(lake, NEXT)
    assert first and not rows_by_person(lake).keys() & first


ANSWERS = """\
feed: desk_answers
source: desk
description: What became of the people on a worklist.
mode: events
files: {path: "desk_answers/{date}/answers.csv"}
format: {type: csv, header: true}
columns: [answer_id, run_id, recipient_key, channel, status, employee, at]
targets:
  - table: trusted.receipts
    columns:
      receipt_id: answer_id
      run_id: run_id
      destination: "'desk'"
      recipient_key: recipient_key
      channel: channel
      status: status
      employee_id: employee
      event_at: "try_to_timestamp(at, 'yyyy-MM-dd HH:mm:ss')"
      event_on: "try_to_date(substring(at, 1, 10), 'yyyy-MM-dd')"
"""


@pytest.mark.slow
def test_answers_come_back_by_a_feed_are_history_and_can_be_asked_about(bank):
    from ingestion import ingest

    asks = "where: {receipt: {status: [FOLLOW_UP, WON], of: care, within_days: 7}}\nunknown: exclude"
    lake = bank(**{"feeds/desk_answers.yml": ANSWERS})
    publish(lake, D)
    run_id = read_manifest(newest_run(lake))["run_id"]
    keys = {row["one_id"]: row["recipient_key"] for row in lake.read_arrow("segments.recipients").to_pylist()}
    people = sorted(rows_by_person(lake))
    lines = [
        f"a1,{run_id},{keys[people[0]]},CALL,ASSIGNED,E1,2026-11-19 09:00:00",
        f"a2,{run_id},{keys[people[0]]},CALL,CONTACTED,E1,2026-11-19 10:00:00",
        f"a3,{run_id},{keys[people[0]]},CALL,WON,E1,2026-11-19 11:00:00",
        f"a4,{run_id},{keys[people[1]]},CALL,LOST,E1,2026-11-19 11:00:00",
        f"a5,nosuchrun,{keys[people[1]]},CALL,WON,E1,2026-11-19 11:00:00",
        f"a6,{run_id},{'0' * 32},CALL,WON,E1,2026-11-19 11:00:00",
        f"a7,{run_id},{keys[people[1]]},CALL,MARRIED,E1,2026-11-19 11:00:00",
    ]
    file = lake.settings.workspace / "inbox" / "desk_answers" / NEXT.isoformat() / "answers.csv"
    file.parent.mkdir(parents=True)
    file.write_text("answer_id,run_id,recipient_key,channel,status,employee,at\n" + "\n".join(lines) + "\n")
    ingest(lake, NEXT)
    receipts = {row["receipt_id"]: row["status"] for row in lake.read_arrow("trusted.receipts").to_pylist()}
    assert receipts == {"a1": "ASSIGNED", "a2": "CONTACTED", "a3": "WON", "a4": "LOST"}
    refusals = {json.dumps(row["reasons"]) for row in lake.read_arrow("quality.refused_rows").to_pylist()}
    assert len(refusals) == 3 and "unknown_run" in str(refusals) and "unknown_recipient" in str(refusals)
    (lake.settings.workspace / "segments" / "won.yml").write_text(spec("won", asks), encoding="utf-8")
    write_tags(lake, [{**row, "tier": row["tier"] or "T1"} for row in read_tags()], NEXT)
    publish(lake, NEXT)
    members = lake.read_arrow("segments.members", columns=["code", "one_id"]).to_pylist()
    assert {row["one_id"] for row in members if row["code"] == "won"} == {people[0]}


def faults(lake) -> list[str]:
    return [f"{finding.code} {finding.message}" for finding in catalogue_of(lake.settings).findings()]


WITHOUT = BODY.partition("\nworklist:")[0]
FAULTS = {
    "no texts": ({"text": worklist_spec(body=WITHOUT)}, "E18 'desk' is a worklist: the segment needs worklist:"),
    "texts for nobody": ({"text": worklist_spec(destinations="engine")}, "E18 the segment has texts for a worklist and none of"),
    "a channel of engines": ({"text": worklist_spec(channels="SMS, CALL")}, "E18 'desk' is a worklist and nobody works through SMS"),
    "no capacity": ({"policy": "capacities: [{scope: CALL, per: branch, max: 3}]\n"}, "E18 nothing says how many people an employee can take"),
    "no policy": ({"policy": "purposes: [service]\n"}, "E18 nothing says how many people an employee can take"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), FAULTS.values(), ids=FAULTS)
def test_what_a_worklist_lacks_is_said_before_any_night(bank, changes, words):
    assert any(fault.startswith(words) for fault in faults(bank(**changes)))


def test_a_sound_worklist_has_no_fault_and_service_needs_no_capacity_where_none_is_limited(bank):
    assert faults(bank()) == []
    service = worklist_spec(code="care").replace("purpose: marketing", "purpose: service")
    assert faults(bank(service, policy="purposes: [marketing]\n", name="service")) == []


READING = {
    "one language": ({"reason": {"zh": "x"}}, "en"),
    "other points": ({"talking_points": {"zh": ["a", "b"], "en": ["a"]}}, "as many in one language as in the other"),
    "no points": ({"talking_points": {"zh": [], "en": []}}, "talking_points"),
    "two lines": ({"reason": {"zh": "a\nb", "en": "c"}}, "reason"),
    "a point that is two in a CSV": ({"talking_points": {"zh": ["a|b"], "en": ["c"]}}, "talking_points"),
    "a bell": ({"reason": {"zh": "a\u0007", "en": "c"}}, "reason"),
    "a novel": ({"reason": {"zh": "a" * 301, "en": "c"}}, "reason"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), READING.values(), ids=READING)
def test_texts_that_cannot_be_shown_are_refused(bank, change, words):
    body = WITHOUT + "\nworklist: " + json.dumps({**TEXTS, **change})
    assert [words in fault for fault in faults(bank(worklist_spec(body=body)))] == [True]


def test_texts_are_part_of_what_is_approved(bank):
    from segments.language.spec import read_segment

    file = bank().settings.workspace / "segments" / "care.yml"
    first = read_segment(file).definition_hash
    file.write_text(file.read_text(encoding="utf-8").replace("先问近况", "先送礼"), encoding="utf-8")
    assert read_segment(file).definition_hash != first


PLACES = {
    "a low ceiling": ({"ceiling": "C1"}, "the worklist of 'desk' is of level C2, above the destination's ceiling C1"),
    "no approval": ({"approval": None}, "nobody approved the worklist of 'desk': it needs approval"),
    "an approval of another": ({"approval": {"by": "x", "date": "2026-11-01", "hash": "0" * 12}}, "is for another worklist of 'desk'"),
    "an approval of fewer sources": (
        {"approval": {"by": "x", "date": "2026-11-01", "hash": WorklistSettings(sources=["crm"]).hash_for("desk")}},
        "is for another worklist of 'desk'"),
    "an approval of another system": (
        {"approval": {"by": "x", "date": "2026-11-01", "hash": WorklistSettings(sources=["crm", "core"]).hash_for("branch")}},
        "is for another worklist of 'desk'"),
    "no source": ({"sources": []}, "sources"),
    "a source twice": ({"sources": ["crm", "crm"]}, "names each source once"),
    "another language": ({"language": "fr"}, "language"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), PLACES.values(), ids=PLACES)
def test_a_wrong_worklist_is_one_sentence_with_its_line(make_workspace, changes, words):
    folder = make_workspace({"destinations.yml": destinations_yml(**changes)})
    with pytest.raises(SettingsInvalid) as wrong:
        read_destinations(folder)
    assert words in str(wrong.value) and "destinations.yml:1" in str(wrong.value)
    assert cdp(["segments", "check", "--workspace", str(folder)]) == 2


def test_a_directory_and_a_worklist_are_not_one_destination_and_a_source_that_no_feed_has_is_named(
    make_workspace, capsys
):
    tree = json.loads(destinations_yml())
    tree["destinations"]["desk"]["directory"] = {"content": "source_keys", "sources": ["crm"]}
    with pytest.raises(
        SettingsInvalid, match="a worklist tells in its own rows who people are: it has no directory"
    ):
        read_destinations(make_workspace({"destinations.yml": json.dumps(tree)}))
    folder = make_workspace(
        {"destinations.yml": destinations_yml(), "feeds/desk_answers.yml": ANSWERS}, "second"
    )
    assert cdp(["segments", "check", "--workspace", str(folder)]) == 2
    assert "the worklist of 'desk' names source 'crm', which no feed delivers" in capsys.readouterr().err
