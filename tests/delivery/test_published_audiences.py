"""What a destination finds: same content same bytes, deltas, nothing half-visible; and verification that can fail."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delivery.audience_files import as_read, read_rows, write_rows
from delivery.contract.verify_audience import MANIFEST, MANIFEST_SUM, RunMeasures, equation_faults
from delivery.destinations import read_destinations
from delivery.manifest import read_latest, read_manifest
from delivery.night import delivery_rows
from delivery.releasing import discard_audience, release_audience
from delivery.spreadsheet_cells import formula_cells, neutral_cells
from delivery.staging import STAGING, _delta, recipient_key, stage_audience
from delivery.verification import verify
from lakehouse.errors import GateStopped, StepFailed, UsageError
from lakehouse.query.hashing import text_hash
from lakehouse.settings.settings import load_settings
from vocabulary.audience import Audience

D = dt.date(2026, 11, 18)
DESTINATIONS = "destinations:\n  engine: {description: the marketing engine, ceiling: C2}\n"
PEOPLE = pa.schema(
    [
        ("one_id", pa.int64()),
        ("variant", pa.string()),
        ("tier", pa.string()),
        ("interests", pa.list_(pa.string())),
    ]
)


@pytest.fixture
def night(make_workspace):
    """A function that stages an audience of people (one_id → their interests) for the one destination."""
    settings = load_settings(make_workspace({"destinations.yml": DESTINATIONS}))

    def run(people, day=D, form="parquet", release=True):
        destination = read_destinations(settings.workspace)["engine"]
        staged = stage_audience(audience_of(people, day, form), "engine", destination, settings=settings)
        if release:
            release_audience(staged)
        return staged

    run.settings = settings
    return run


def audience_of(people, day, form):
    """An audience whose counts add up; its run follows from what is in it, as that of a segment does."""
    rows = [
        {"one_id": n, "variant": "AB"[n % 2], "tier": "T3", "interests": people[n]} for n in sorted(people)
    ]
    counts = {
        "candidates": len(rows), "unknown": 0, "suppressed_by_reason": {}, "eligible": len(rows), "not_in_rollout": 0,
        "control_global": 0, "holdout_local": 0, "contaminated": 0,
        "variants": {arm: [row["variant"] for row in rows].count(arm) for arm in "AB"},
        "dropped_by_contact": {}, "published": len(rows), "consent": {"granted": len(rows)},
    }  # fmt: skip
    return Audience(
        code="x", version="1.0.0", definition_hash="d", purpose="marketing", run_id=text_hash(day, form, rows)[:24], as_of=day,
        destinations=("engine",), modes=("snapshot", "delta"), file_format=form, valid_hours=30, levels={"tier": "C1"},
        counts=counts, tag_versions={"tier": "1.2.0"}, inputs=[], people=pa.Table.from_pylist(rows, schema=PEOPLE),
    )  # fmt: skip


def crowd(*numbers):
    return {number: ["FUND", "GOLD"] for number in numbers}


def root(night):
    return night.settings.published / "engine" / "x"


def newest(night):
    return root(night) / read_latest(root(night))["path"]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def failures(folder):
    return [failure for verification in verify(folder) for failure in verification.failures]


@pytest.mark.parametrize("form", ["parquet", "csv", "json_lines"])
def test_two_nights_make_a_delta_in_every_format(night, form):
    first = night(crowd(1, 2, 3), form=form)
    people = {**crowd(2, 4), 3: ["CARD"]}
    second = night(people, day=D + dt.timedelta(days=1), form=form)
    secret = night.settings.secret("destination_key_engine")
    ops = {
        row["recipient_key"].strip('"'): row["op"].strip('"')
        for row in read_rows(newest(night) / "delta", form).to_pylist()
    }
    assert ops == {
        recipient_key(secret, 1): "EXIT",
        recipient_key(secret, 4): "ENTER",
        recipient_key(secret, 3): "UPDATE",
    }
    manifest = read_manifest(newest(night))
    assert manifest["counts"]["delta"] == {"previous": 3, "enter": 1, "exit": 1, "update": 1}
    assert (manifest["seq"], manifest["previous_run_id"]) == (2, first.run_id)
    assert [row["attempt"] for row in delivery_rows([first, second])] == [1, 1]
    assert failures(night.settings.published) == []
    night(crowd(*range(1, 40)), day=D + dt.timedelta(days=2), form=form)
    for mode in ("snapshot", "delta"):
        keys = read_rows(newest(night) / mode, form)["recipient_key"].to_pylist()
        assert len(keys) > 30 and keys == sorted(keys)
    one_ids = {str(n).encode() for n in (1000000000001,)}
    assert not any(token in data for data in contents(root(night)).values() for token in one_ids)


def test_the_same_content_gives_the_same_bytes_and_nothing_of_the_attempt(night, make_workspace):
    night(crowd(1, 2, 3))
    before = contents(root(night))
    shutil.rmtree(root(night))
    night(dict(reversed(crowd(1, 2, 3).items())))
    assert contents(root(night)) == before


def test_the_same_run_again_is_verified_and_not_written(night):
    night(crowd(1, 2, 3))
    before, stamps = contents(root(night)), {p: p.stat().st_mtime_ns for p in root(night).rglob("*")}
    again = night(crowd(1, 2, 3))
    assert again.is_repeated and again.folder is None
    assert (
        contents(root(night)) == before
        and {p: p.stat().st_mtime_ns for p in root(night).rglob("*")} == stamps
    )
    (newest(night) / "snapshot" / "part-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(StepFailed, match="no longer verifies"):
        night(crowd(1, 2, 3))


RUNNING = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "＝1+1",
    "＋1+1",
    "－1+1",
    "＠A1",
]
HARMLESS = ["FUND", "-5.00", "+8613800000000", "1=1", "a-b", ""]


def with_rule(night, rule):
    text = DESTINATIONS.replace("}", f", spreadsheet: {rule}}}")
    (night.settings.workspace / "destinations.yml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("text", RUNNING)
def test_a_cell_that_a_spreadsheet_would_run_is_neutral_and_can_be_read_back(night, text):
    run = root(night) / night({1: [text, "x"], 2: ["FUND"], 3: ["'quoted"]}, form="csv").path
    cells = dict(zip(read_rows(run / "snapshot", "csv")["recipient_key"].to_pylist(),
                     read_rows(run / "snapshot", "csv")["interests"].to_pylist(), strict=True))  # fmt: skip
    assert sorted(cells.values()) == sorted([f"'{text}|x", "FUND", "''quoted"])
    assert read_manifest(run)["spreadsheet"] == {"rule": "neutralise", "cells": {"interests": 1}}
    assert [v.failures for v in verify(root(night))] == [(), ()]
    staged = night({1: [text, "x"], 2: ["GOLD"], 3: ["'quoted"]}, day=D + dt.timedelta(days=1), form="csv")
    assert read_manifest(root(night) / staged.path)["counts"]["delta"] == {
        "previous": 3,
        "enter": 0,
        "exit": 0,
        "update": 1,
    }


@pytest.mark.parametrize("form", ["csv", "parquet", "json_lines"])
def test_text_that_runs_nothing_and_other_formats_stay_as_they_are(night, form):
    people = {n: [text] for n, text in enumerate(HARMLESS + (RUNNING if form != "csv" else []))}
    run = root(night) / night(people, form=form).path
    expected_table = pa.table({"interests": pa.array(list(people.values()), pa.list_(pa.string()))})
    rows = read_rows(run / "snapshot", form)
    assert sorted(map(str, rows["interests"].to_pylist())) == sorted(
        map(str, as_read(expected_table, form)["interests"].to_pylist())
    )
    assert read_manifest(run).get("spreadsheet") == (
        {"rule": "neutralise", "cells": {}} if form == "csv" else None
    )
    assert [v.failures for v in verify(root(night))] == [(), ()]


def test_numbers_below_zero_are_never_touched(tmp_path):
    rows = pa.table(
        {"amount": pa.array([Decimal("-5.00")], pa.decimal128(9, 2)), "days": [-3], "note": ["-x"]}
    )
    assert neutral_cells(rows).to_pylist() == [{"amount": Decimal("-5.00"), "days": -3, "note": "'-x"}]
    assert formula_cells(rows) == {"note": 1}


def test_a_destination_may_refuse_such_cells_or_keep_them(night):
    with_rule(night, "refuse")
    with pytest.raises(
        GateStopped, match="1 cells that a spreadsheet would run, the first in column 'interests'"
    ):
        night({1: ["=1+1"], 2: ["FUND"]}, form="csv")
    assert read_latest(root(night)) is None
    assert night({1: ["GOLD"]}, form="csv").published == 1
    with_rule(night, "keep")
    run = root(night) / night({1: ["=1+1"]}, day=D + dt.timedelta(days=1), form="csv").path
    assert read_rows(run / "snapshot", "csv")["interests"].to_pylist() == ["=1+1"]
    assert read_manifest(run)["spreadsheet"] == {"rule": "keep", "cells": {"interests": 1}}
    assert all(not v.failures for v in verify(root(night)))
    rewritten(run, lambda m: m["spreadsheet"].update(rule="neutralise"))
    failures = next(v.failures for v in verify(root(night)) if v.folder == run)
    assert failures == ("column 'interests' of the snapshot has 1 cells that a spreadsheet would run",
                        "column 'interests' of the delta has 1 cells that a spreadsheet would run")  # fmt: skip


@pytest.mark.parametrize(("quiet", "updates"), [((), 2), (("days",), 0), (("days", "tier"), 0)])
def test_a_counter_that_changes_for_everybody_makes_no_update(quiet, updates):
    before = pa.table({"recipient_key": ["a", "b"], "tier": ["T1", "T1"], "days": [7, 3]})
    now = pa.table({"recipient_key": ["a", "b", "c"], "tier": ["T1", "T1", "T2"], "days": [6, 2, 9]})
    delta = _delta(now, before, "parquet", quiet)
    assert delta["op"].to_pylist().count("UPDATE") == updates and delta["op"].to_pylist().count("ENTER") == 1


def test_an_update_for_another_reason_brings_the_counter_with_it():
    before = pa.table({"recipient_key": ["a", "b"], "tier": ["T1", "T1"], "days": [7, 3]})
    now = pa.table({"recipient_key": ["a", "b"], "tier": ["T1", "T2"], "days": [6, 2]})
    assert _delta(now, before, "parquet", ("days",)).to_pylist() == [
        {"op": "UPDATE", "recipient_key": "b", "tier": "T2", "days": 2}
    ]


def test_an_older_business_date_is_not_handed_on_again(night):
    night(crowd(1, 2), day=D + dt.timedelta(days=1))
    before = contents(root(night))
    assert night(crowd(1, 2, 3), day=D, release=False) is None
    assert contents(root(night)) == before


def test_what_is_staged_is_not_visible_and_a_crash_leaves_the_old_or_the_new_run(night):
    night(crowd(1, 2))
    before, tomorrow = contents(root(night)), D + dt.timedelta(days=1)
    staged = night(crowd(1, 2, 3), day=tomorrow, release=False)
    visible = {name: data for name, data in contents(root(night)).items() if not name.startswith(STAGING)}
    assert visible == before
    discard_audience(staged)
    assert contents(root(night)) == before
    # crash between the rename and the pointer: the old run stands, and the next attempt only moves the pointer
    staged = night(crowd(1, 2, 3), day=tomorrow, release=False)
    (root(night) / staged.path).parent.mkdir(parents=True)
    staged.folder.rename(root(night) / staged.path)
    assert read_latest(root(night))["seq"] == 1
    again = night(crowd(1, 2, 3), day=tomorrow)
    assert (again.folder, again.is_repeated, read_latest(root(night))["seq"]) == (None, False, 2)
    assert failures(root(night)) == []
    # a complete run no pointer ever named is removed when another one takes its number
    lost = night(crowd(1), day=D + dt.timedelta(days=2), release=False)
    (root(night) / lost.path).parent.mkdir(parents=True)
    lost.folder.rename(root(night) / lost.path)
    night(crowd(5), day=D + dt.timedelta(days=2))
    assert not (root(night) / lost.path).exists() and failures(root(night)) == []


def rewritten(run: Path, change) -> None:
    """Change the manifest and give it a fitting hash, as a careful forger would."""
    manifest = json.loads((run / MANIFEST).read_text())
    change(manifest)
    body = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (run / MANIFEST).write_text(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body.encode()).hexdigest()}  {MANIFEST}\n")


def changed_byte(run):
    part = run / "snapshot" / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)


def removed_row(run):
    part = run / "snapshot" / "part-00000.parquet"
    table = pq.read_table(part, partitioning=None)
    pq.write_table(table.slice(1), part)
    entry = {
        "rows": table.num_rows - 1,
        "bytes": part.stat().st_size,
        "sha256": sha256(part.read_bytes()).hexdigest(),
    }
    rewritten(
        run,
        lambda m: m["files"][[f["path"] for f in m["files"]].index("snapshot/part-00000.parquet")].update(
            entry
        ),
    )


def doubled_row(run):
    part = run / "snapshot" / "part-00000.parquet"
    table = pq.read_table(part, partitioning=None)
    pq.write_table(pa.concat_tables([table.slice(0, 1), table.slice(0, 1), table.slice(2)]), part)
    entry = {"bytes": part.stat().st_size, "sha256": sha256(part.read_bytes()).hexdigest()}
    rewritten(
        run,
        lambda m: m["files"][[f["path"] for f in m["files"]].index("snapshot/part-00000.parquet")].update(
            entry
        ),
    )


def count(name, add=1):
    def change(run):
        rewritten(run, lambda m: m["counts"].update({name: m["counts"][name] + add}))

    return change


BROKEN = {
    "a changed byte": (changed_byte, "does not have the sha256"),
    "a removed row": (removed_row, "rows of the snapshot is"),
    "a doubled row": (doubled_row, "recipients is"),
    "a missing file": (lambda run: (run / "delta" / "part-00000.parquet").unlink(), "is missing"),
    "a file too many": (lambda run: (run / "snapshot" / "part-00009.parquet").write_bytes(b""), "is not in the manifest"),
    "no success mark": (lambda run: (run / "_SUCCESS").unlink(), "_SUCCESS is missing"),
    "a changed manifest": (lambda run: (run / MANIFEST).write_text("{}"), "does not have the hash"),
    "a manifest without a key": (lambda run: rewritten(run, lambda m: m.pop("inputs")), "lacks 'inputs'"),
    "another published": (count("published"), "published is"),
    "another candidates": (count("candidates"), "candidates is"),
    "another eligible": (count("eligible"), "eligible is"),
    "another hold-out": (count("holdout_local"), "eligible is"),
    "another variant": (lambda run: rewritten(run, lambda m: m["counts"]["variants"].update({"A": 99})), "eligible is"),
    "another reason": (lambda run: rewritten(run, lambda m: m["counts"]["suppressed_by_reason"].update({"STAFF": 1})), "candidates is"),
    "another enter": (lambda run: rewritten(run, lambda m: m["counts"]["delta"].update({"enter": 7})), "previous + enter - exit is"),
    "another update": (lambda run: rewritten(run, lambda m: m["counts"]["delta"].update({"update": 7})), "rows of the delta is"),
    "people without consent": (lambda run: rewritten(run, lambda m: m["counts"]["consent"].update({"granted": 1})), "people with consent is"),
    "another seq": (lambda run: rewritten(run, lambda m: m.update({"seq": 5})), "seq is 5, but the previous run has 1"),
    "another day": (lambda run: rewritten(run, lambda m: m.update({"as_of": "2026-11-01"})), "the folder says as_of=2026-11-19"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_verification_fails_on(what, night):
    night(crowd(*range(1, 21)))
    night(crowd(*range(3, 25)), day=D + dt.timedelta(days=1))
    assert failures(night.settings.published) == []
    damage, words = BROKEN[what]
    damage(newest(night))
    sentences = failures(night.settings.published)
    assert any(words in sentence for sentence in sentences), sentences


def test_verification_compares_the_delta_with_the_run_before(night):
    night(crowd(1, 2, 3))
    night(crowd(2, 3, 4), day=D + dt.timedelta(days=1))
    part = newest(night) / "delta" / "part-00000.parquet"
    delta = pq.read_table(part, partitioning=None)
    swapped = pa.array(
        [{"ENTER": "EXIT", "EXIT": "ENTER"}[op] for op in delta["op"].to_pylist()], pa.string()
    )
    pq.write_table(delta.set_column(0, "op", swapped), part)
    entry = {"bytes": part.stat().st_size, "sha256": sha256(part.read_bytes()).hexdigest()}
    rewritten(
        newest(night),
        lambda m: m["files"][[f["path"] for f in m["files"]].index("delta/part-00000.parquet")].update(entry),
    )
    assert {
        "the delta adds recipients that were in the previous snapshot",
        "the delta removes recipients that are in the snapshot",
    } <= set(failures(root(night)))


SETS = {
    "somebody leaves who was not there": ({"leaving": {"d", "x"}}, "removes or updates recipients that were not in the previous"),
    "somebody is updated who was not there": ({"updating": {"e"}}, "removes or updates recipients that were not in the previous"),
    "somebody enters who was there": ({"entering": {"e", "a"}}, "adds recipients that were in the previous"),
    "somebody leaves who is there": ({"leaving": {"d", "a"}}, "removes recipients that are in the snapshot"),
    "somebody enters who is not there": ({"entering": {"e", "x"}}, "adds or updates recipients that are not in the snapshot"),
    "somebody is gone without a word": ({"current": {"a", "c", "e"}}, "the previous snapshot with the delta applied is not the snapshot"),
}  # fmt: skip


@pytest.mark.parametrize("what", [None, *SETS])
def test_a_delta_leads_from_the_previous_snapshot_to_this_one(night, what):
    night(crowd(1, 2, 3, 4))
    night(crowd(1, 2, 3, 5), day=D + dt.timedelta(days=1))
    manifest = read_manifest(newest(night))
    sets = {"entering": {"e"}, "leaving": {"d"}, "updating": {"b"}, "current": {"a", "b", "c", "e"}, "previous": {"a", "b", "c", "d"}}  # fmt: skip
    manifest["counts"]["delta"]["update"] = 1
    change, words = SETS.get(what, ({}, None))
    measures = RunMeasures(
        rows_by_mode={"snapshot": 4, "delta": 3},
        recipients=4,
        previous_manifest=None,
        **{name: frozenset(keys) for name, keys in (sets | change).items()},
    )
    sentences = [fault.sentence for fault in equation_faults(manifest, measures)]
    assert sentences == [] if words is None else any(words in sentence for sentence in sentences), sentences


def test_an_exit_of_somebody_who_was_never_there_fails_although_all_counts_agree(night):
    night(crowd(1, 2, 3))
    night(crowd(2, 3, 4), day=D + dt.timedelta(days=1))
    part = newest(night) / "delta" / "part-00000.parquet"
    delta = pq.read_table(part, partitioning=None)
    keys = ["f" * 32 if op == "EXIT" else key for op, key in zip(*(delta[n].to_pylist() for n in ("op", "recipient_key")), strict=True)]  # fmt: skip
    pq.write_table(delta.set_column(1, "recipient_key", pa.array(keys, pa.string())), part)
    entry = {"bytes": part.stat().st_size, "sha256": sha256(part.read_bytes()).hexdigest()}
    rewritten(
        newest(night),
        lambda m: m["files"][[f["path"] for f in m["files"]].index("delta/part-00000.parquet")].update(entry),
    )
    assert "the delta removes or updates recipients that were not in the previous snapshot" in failures(
        root(night)
    )


def test_a_person_has_another_key_at_every_destination_and_in_every_workspace(make_workspace):
    keys = {}
    for workspace in ("bank", "shop"):
        text = DESTINATIONS + "  mail: {description: the mail engine, ceiling: C2}\n"
        settings = load_settings(make_workspace({"destinations.yml": text}, name=workspace))
        for name, destination in read_destinations(settings.workspace).items():
            staged = stage_audience(
                audience_of(crowd(1, 2), D, "parquet"), name, destination, settings=settings
            )
            release_audience(staged)
            key_id = read_manifest(staged.root / staged.path)["key"]["key_id"]
            keys[workspace, name] = (
                key_id,
                *staged.recipients.sort_by("one_id")["recipient_key"].to_pylist(),
            )
            secret = (settings.workspace / "secrets" / f"destination_key_{name}.key").read_bytes().strip()
            assert keys[workspace, name][1:] == (recipient_key(secret, 1), recipient_key(secret, 2))
    assert len({key for of_one in keys.values() for key in of_one}) == 4 * 3


def test_a_recipient_key_is_the_hmac_that_the_contract_names():
    # printf 1000000000001 | openssl dgst -sha256 -hmac 'a secret of 16 +'
    assert recipient_key(b"a secret of 16 +", 1000000000001) == "5afe35a1a1a6738af720f5e9746f7827"


def test_an_expired_audience_fails_only_when_the_instant_is_named(night):
    night(crowd(1, 2))
    until = dt.datetime.fromisoformat(read_manifest(newest(night))["valid_until"])
    assert until == dt.datetime(2026, 11, 20, 6, tzinfo=night.settings.zone)
    assert failures(root(night)) == []
    assert next(v.failures for v in verify(newest(night), at=until))[0].startswith(
        "the audience expired at 2026-11-20T06:00"
    )
    assert next(v.failures for v in verify(newest(night), at=until - dt.timedelta(seconds=1))) == ()


def test_a_pointer_to_another_run_fails_and_an_empty_folder_is_refused(night, tmp_path):
    night(crowd(1, 2))
    pointer = root(night) / "LATEST.json"
    pointer.write_text(pointer.read_text().replace("as_of=2026-11-18", "as_of=2026-11-17"))
    assert failures(root(night)) == [
        "LATEST.json points to " + read_latest(root(night))["path"] + ", which is not complete"
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no published audience"):
        verify(tmp_path / "empty")


@pytest.mark.parametrize("form", ["parquet", "csv", "json_lines"])
def test_what_is_written_is_read_back(form, tmp_path):
    from decimal import Decimal

    rows = pa.table(
        {
            "recipient_key": ["a", "b", "c"],
            "text": ['say "hi",\r\nthere', "中文", None],
            "money": pa.array([Decimal("1.10"), Decimal("-2.00"), None], pa.decimal128(18, 2)),
            "day": pa.array([D, None, D], pa.date32()),
            "flag": [True, False, None],
            "set": [["x", "y"], [], None],
        }
    )
    write_rows(rows, tmp_path / "out", form)
    assert read_rows(tmp_path / "out", form).to_pylist() == as_read(rows, form).to_pylist()
    if form == "csv":
        data = (tmp_path / "out" / "part-00000.csv").read_bytes()
        assert (
            data.startswith(b"recipient_key,text,money,day,flag,set\r\n")
            and b'"say ""hi"",\r\nthere",1.10' in data
        )
