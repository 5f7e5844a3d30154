"""The steps of a night: their order, their gates, and which of them the ledger tells of."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.night import steps
from jobs.workspace.make import make_workspace
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake


def test_a_night_extracts_ingests_resolves_builds_tags_and_publishes():
    assert [(step.name, step.gate) for step in steps.STEPS] == [
        ("extract", ""), ("ingest", "trusted"), ("resolve", "identity"), ("build_tags", "tags"), ("publish", ""),
    ]  # fmt: skip


def test_the_step_whose_results_the_fingerprint_covers_is_not_in_the_ledger():
    assert [step.name for step in steps.RECORDED_STEPS] == ["ingest", "resolve", "build_tags", "publish"]


def test_extraction_does_nothing_where_no_feed_reads_a_table(tmp_path):
    make_workspace(tmp_path / "shop", "minimal")
    lake = Lake(load_settings(tmp_path / "shop"))
    files = sorted(lake.settings.workspace.rglob("*"))
    steps.make_inputs(lake, date(2026, 1, 5))
    assert sorted(lake.settings.workspace.rglob("*")) == files


def test_a_step_is_judged_by_its_own_gate_after_it_ran(monkeypatch):
    calls = []
    work = steps.Step(
        "resolve", lambda lake, day, full: calls.append(f"run full={full}") or {"profiles": 3}, "identity"
    )
    quiet = steps.Step("publish", lambda lake, day: {"audiences": 1}, "")
    monkeypatch.setattr(steps, "STEPS", (work, quiet))
    monkeypatch.setattr(
        steps, "check_gate", lambda lake, database, day: calls.append(f"gate {database} {day}")
    )
    assert steps.run_step("resolve", None, date(2026, 1, 5), full=True) == {"profiles": 3}
    assert steps.run_step("publish", None, date(2026, 1, 5)) == {"audiences": 1}
    assert calls == ["run full=True", "gate identity 2026-01-05"]


def test_a_name_that_is_no_step_runs_nothing():
    with pytest.raises(StopIteration):
        steps.run_step("extrakt", None, date(2026, 1, 5))


def test_the_ledger_names_files_that_were_refused_as_a_whole():
    assert steps.message_of({"refused_files": []}) is None
    assert steps.message_of({"precision": 1.0}) is None
    said = steps.message_of({"refused_files": [f"f/{n}.csv" for n in range(7)]})
    assert said == (
        "7 refused as a whole, see landing.files: f/0.csv, f/1.csv, f/2.csv, f/3.csv, f/4.csv and 2 more"
    )


def test_the_gate_after_ingestion_judges_the_books(tmp_path, monkeypatch):
    make_workspace(tmp_path / "shop", "minimal")
    lake = Lake(load_settings(tmp_path / "shop"))
    lake.create(["landing.files", "landing.loads"])
    judged = []
    monkeypatch.setattr(steps, "check_tables", lambda lake, gate, tables, night: judged.extend(tables))
    steps.check_gate(lake, "trusted", date(2026, 1, 5))
    assert judged == ["landing.files", "landing.loads"]
