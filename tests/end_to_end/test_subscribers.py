"""Subscribers of another industry with 20 attributes, onboarded, tagged and selected by the YAML of examples/telecom alone."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from jobs.cli import run
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "telecom"
DAY = "2026-11-01"
PEOPLE = 400


def subscriber_file():
    """The example's own program, which is no module of the product."""
    spec = spec_from_file_location("make_subscribers", EXAMPLE / "make_subscribers.py")
    module = module_from_spec(spec)
    sys.modules["make_subscribers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_file_of_another_industry_is_onboarded_tagged_and_selected_by_yaml(engine, tmp_path, request):
    if engine == "spark":
        request.getfixturevalue("spark")
    workspace = tmp_path / "telecom"
    shutil.copytree(EXAMPLE, workspace)
    program = subscriber_file()
    program.write_file(workspace, PEOPLE, DAY)
    rows = program.subscribers(PEOPLE, DAY)
    assert run(["nightly", "--date", DAY, "--engine", engine, "--workspace", str(workspace)]) == 0

    published = open_publication(load_settings(workspace))
    attributes = published.sql(
        "select attribute, count(*), count(distinct entity_key) from trusted.attributes group by 1"
    ).fetchall()
    filled = Counter(name for row in rows for name in program.COLUMNS[3:] if row[name])
    assert {name: (count, people) for name, count, people in attributes} == {
        n: (c, c) for n, c in filled.items()
    }
    assert len(filled) == 20
    tags = published.sql(
        "select subscriber_plan, count(*), sum(data_gb_total), count_if(is_upgrade_candidate) from tags.customer_tags group by 1"
    ).fetchall()
    plans = {row["plan"] for row in rows}
    candidates = [row for row in rows if row["plan"] == "BASIC" and Decimal(row["data_gb"]) > 40]
    assert {plan: tuple(counts) for plan, *counts in tags} == {
        plan: (
            sum(row["plan"] == plan for row in rows),
            sum(Decimal(row["data_gb"]) for row in rows if row["plan"] == plan),
            len(candidates) if plan == "BASIC" else 0,
        )
        for plan in plans
    }
    selected = published.sql(
        "select m.source_key from segments.members s join identity.memberships m using (one_id) where s.code = 'upgrade_to_plus'"
    ).fetchall()
    assert sorted(key for (key,) in selected) == [
        row["sub_id"]
        for row in candidates
        if row["is_5g"] == "true"
        and row["payment"] == "POSTPAID"
        and "" < row["contract_end"] <= "2026-12-31"
    ]
    assert len(selected) > 3
