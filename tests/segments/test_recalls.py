"""A withdrawal takes people out of audiences that still stand, whether or not a segment of the workspace replaces them."""

from __future__ import annotations

import datetime as dt
import shutil

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
    staged,
    surroundings,
    write_tags,
)

from delivery.audience_files import read_rows
from delivery.manifest import read_latest, read_manifest
from delivery.night import release
from delivery.releasing import release_audience
from delivery.verification import verify
from jobs.cli import run as run_command
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from segments.choosing.evaluation import evaluate

NEXT = D + dt.timedelta(days=1)
COLUMNS = "variant, tier, balance, interests, opened_on, is_active"


@pytest.fixture(params=["parquet", "csv", "json_lines"])
def bank(make_workspace, request):
    """A bank whose segment ``rich`` was published on D to people 1 and 10 and is then taken out of the workspace."""
    rule = "where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}\nunknown: exclude"
    # 10's interests begin as a formula of a spreadsheet would.
    tags = TAGS_YML.replace("domain: [FUND, GOLD, CARD]", "domain: [FUND, GOLD, CARD, =ALL]")
    folder = make_workspace(
        {
            "cdp.yml": "generate_secrets: true\n",
            "tags/test.yml": tags,
            "destinations.yml": DESTINATIONS_YML,
            "segments/rich.yml": spec("rich", rule, format=request.param, columns=COLUMNS).replace(
                "format:", "mode: [snapshot, delta], format:"
            ),
        }
    )
    people = [{**row, "interests": ["=ALL", "FUND"]} if row["one_id"] == 10 else row for row in read_tags()]
    lake = bank_lake(load_settings(folder), people)
    publish(lake, D)
    (folder / "segments" / "rich.yml").unlink()
    write_tags(lake, people, NEXT)
    return lake


def withdraw(lake, number: int, **decision) -> None:
    row = {"source_key": f"c{number}", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE",
           "decided_at": at("2026-11-19"), "valid_from": NEXT, **decision}  # fmt: skip
    lake.append("trusted.consents", rows_of("trusted.consents", [row]))


def root(lake):
    return lake.settings.published / "engine" / "rich"


def newest(lake):
    latest = read_latest(root(lake))
    run = root(lake) / latest["path"]
    return latest, run, read_manifest(run)


def keys_of(lake) -> dict[str, int]:
    return {row["recipient_key"]: row["one_id"] for row in lake.read_arrow("segments.recipients").to_pylist()}


def rows(lake, run, mode: str) -> list[dict]:
    form = read_manifest(run)["format"]
    names = keys_of(lake)
    found = read_rows(run / mode, form).to_pylist()
    return [{**row, "recipient_key": names[row["recipient_key"].strip('"')]} for row in found]


def state(lake) -> tuple:
    files = {str(p.relative_to(root(lake))): p.read_bytes() for p in root(lake).rglob("*") if p.is_file()}
    tables = [table_hash(lake.settings, f"segments.{name}") for name in ("deliveries", "recipients")]
    return files, tables


@pytest.mark.slow
def test_who_withdraws_leaves_an_audience_that_no_segment_replaces(bank):
    before, old_run, old = newest(bank)
    kept = next(row for row in rows(bank, old_run, "snapshot") if row["recipient_key"] == 10)
    withdraw(bank, 1)
    publish(bank, NEXT)

    latest, run, manifest = newest(bank)
    assert (latest["seq"], latest["as_of"], latest["valid_until"]) == (2, "2026-11-19", before["valid_until"])
    delta = rows(bank, run, "delta")
    assert [(row["op"].strip('"'), row["recipient_key"]) for row in delta] == [("EXIT", 1)]
    assert rows(bank, run, "snapshot") == [kept], "who stays has the values that were published"
    assert manifest["schema"] == old["schema"]
    assert manifest["counts"]["dropped_by_contact"] == {"RECALLED": 1}
    assert (manifest["consent_as_of"], manifest["purpose"]) == ("2026-11-19", "marketing")
    assert [v.failures for v in verify(bank.settings.published)] == [(), (), ()]
    deliveries = bank.read_arrow("segments.deliveries").to_pylist()
    assert {(row["run_id"], row["seq"], row["purpose"]) for row in deliveries} == {
        (before["run_id"], 1, "marketing"), (latest["run_id"], 2, "marketing"),
    }  # fmt: skip

    files = state(bank)
    publish(bank, NEXT)
    assert state(bank) == files, "the same night again changes nothing"

    withdraw(bank, 10, decision="GRANT", channel="PUSH", expires_on=NEXT)
    publish(bank, NEXT)
    latest, run, manifest = newest(bank)
    assert (latest["seq"], manifest["counts"]["published"]) == (3, 0), "10 was chosen for PUSH, which is over"
    assert manifest["counts"]["dropped_by_contact"] == {"RECALLED": 2}
    assert all(v.failures == () for v in verify(bank.settings.published))


def test_who_died_or_was_restricted_leaves_an_audience_that_no_segment_replaces(bank):
    bank.append("trusted.customers", rows_of("trusted.customers", [
        {"source_key": "c1", "kind": "customer", "deceased_on": NEXT, "valid_from": NEXT}]))  # fmt: skip
    publish(bank, NEXT)
    _, run, _ = newest(bank)
    assert [(r["op"].strip('"'), r["recipient_key"]) for r in rows(bank, run, "delta")] == [("EXIT", 1)]
    bank.append("trusted.account_controls", rows_of("trusted.account_controls", [
        {"control_id": "9", "source_key": "c10", "control_type": "FRAUD", "started_on": NEXT, "valid_from": NEXT}]))  # fmt: skip
    publish(bank, NEXT)
    _, run, manifest = newest(bank)
    assert (manifest["counts"]["published"], manifest["counts"]["dropped_by_contact"]) == (0, {"RECALLED": 2})
    assert all(v.failures == () for v in verify(bank.settings.published))


@pytest.mark.slow
def test_nobody_is_recalled_where_nobody_withdrew_or_nothing_stands(bank):
    files = state(bank)
    publish(bank, NEXT)
    assert state(bank) == files
    withdraw(bank, 1)
    publish(bank, D + dt.timedelta(days=2))
    assert state(bank) == files, "the audience was over on 20 November at six"


def test_a_destination_that_is_no_longer_named_is_told_of_while_its_audience_stands(bank, caplog):
    (bank.settings.workspace / "destinations.yml").write_text(
        DESTINATIONS_YML.replace("  engine:", "  other:")
    )
    withdraw(bank, 1)
    files = state(bank)
    publish(bank, NEXT)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the audience of segment rich stands until 2026-11-20T06:00:00+08:00 at engine, which destinations.yml no longer names: "
        "nobody who withdraws is taken out of it"
    ]
    caplog.clear()
    publish(bank, NEXT + dt.timedelta(days=1))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert state(bank) == files


def test_a_person_who_was_merged_leaves_by_their_word_of_today(bank):
    bank.append("identity.redirects", rows_of("identity.redirects", [{"from_one_id": 1, "to_one_id": 3}]))
    withdraw(bank, 3)
    publish(bank, NEXT)
    _, run, _ = newest(bank)
    assert [row["recipient_key"] for row in rows(bank, run, "delta")] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("crash", ["before the pointer", "before the record"])
def test_a_recall_that_a_crash_cut_short_is_brought_to_its_end(bank, crash):
    withdraw(bank, 1)
    reference = shutil.copytree(bank.settings.published, bank.settings.workspace / "copy")
    result = evaluate(bank, NEXT, surroundings(bank.settings))
    (recall,) = staged(bank, NEXT, result)
    if crash == "before the pointer":
        (root(bank) / recall.path).parent.mkdir(parents=True)
        recall.folder.rename(root(bank) / recall.path)
    else:
        release_audience(recall)
    deliveries = bank.read_arrow("segments.deliveries")
    assert len(deliveries) == 1
    publish(bank, NEXT)
    crashed = state(bank)

    shutil.rmtree(bank.settings.published)
    reference.rename(bank.settings.published)
    bank.overwrite("segments.deliveries", deliveries)
    release(bank, staged(bank, NEXT, result))
    assert state(bank) == crashed
    assert newest(bank)[0]["seq"] == 2 and len(bank.read_arrow("segments.deliveries")) == 2


def test_a_superseded_run_says_by_which(bank, capsys):
    _, old_run, _ = newest(bank)
    assert verify(old_run)[0].failures == ()
    withdraw(bank, 1)
    publish(bank, NEXT)
    latest, run, _ = newest(bank)
    sentence = f"run {latest['run_id']} (seq 2) superseded this one, which must not be used any more"
    assert verify(old_run)[0].failures == (sentence,)
    assert {v.folder: v.superseded_by for v in verify(root(bank))} == {
        old_run: latest["run_id"], run: None, root(bank): None,
    }  # fmt: skip
    capsys.readouterr()
    assert run_command(["segments", "verify", str(root(bank))]) == 0
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["old ", "good"]
    assert run_command(["segments", "verify", str(old_run)]) == 1
    assert sentence in capsys.readouterr().err
