"""Tags as of a past day: which days and tags may be asked for, and what becomes of a day's snapshot. No dbt runs here."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from lakehouse.errors import UsageError
from lakehouse.query.desk import open_newest
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.past import entries_of, month_ends, require_facts, snapshot_with
from tags.build.project import DAILY, wide_contracts
from tags.compile.compilation import compile_tags
from tags.compile.places import PROJECT

WHOLE = compile_tags(None)


def days(*texts):
    return [dt.date.fromisoformat(text) for text in texts]


NIGHTS = days("2025-12-30", "2026-01-30", "2026-01-31", "2026-02-27", "2026-03-01", "2026-03-15")


def test_a_month_end_is_the_last_night_of_a_month_that_is_over():
    assert month_ends(NIGHTS, 2, 25) == days("2026-01-31", "2026-02-27")
    assert month_ends(NIGHTS, 3, 25) == days("2025-12-30", "2026-01-31", "2026-02-27")


@pytest.mark.parametrize(
    "nights, months, sentence",
    [
        (NIGHTS, 4, r"no night of 2025-11 was published \(the first was 2025-12-30\), so what was known then is not known; say --months 3 at most"),
        (days("2026-03-01", "2026-03-15"), 1, "it can begin when a month has ended"),
        (NIGHTS, 0, r"--months 0 is not between 1 and 25"),
        (NIGHTS, -3, r"--months -3 is not between 1 and 25"),
        (NIGHTS, 1000, r"--months 1000 is not between 1 and 25, the month-ends that cdp.yml keeps"),
        ([], 1, "no night was published yet"),
    ],
)  # fmt: skip
def test_a_past_that_nobody_knew_or_nobody_keeps_is_refused(nights, months, sentence):
    with pytest.raises(UsageError, match=sentence):
        month_ends(nights, months, 25)


def test_only_computed_tags_have_a_past():
    assert [entry.code for entry in entries_of(WHOLE, ["gender", "性别", "aum_eod"])] == ["gender", "aum_eod"]
    with pytest.raises(UsageError, match=r"there is no tag 'gendre'; did you mean 'gender'"):
        entries_of(WHOLE, ["gendre"])
    draft = next(entry.code for entry in WHOLE.registry.entries.values() if entry.status == "draft")
    with pytest.raises(UsageError, match=f"the tag '{draft}' is draft and not computed"):
        entries_of(WHOLE, ["gender", draft])


def test_a_day_whose_facts_are_kept_no_longer_is_refused():
    entries = entries_of(WHOLE, ["login_days_30d"])
    require_facts(WHOLE, entries, *days("2026-03-01", "2026-03-31"))
    with pytest.raises(UsageError, match=r"'login_days_30d' cannot be computed as of 2023-03-01: trusted.events keeps its rows 1096 days"):  # fmt: skip
        require_facts(WHOLE, entries, *days("2023-03-01", "2026-03-31"))


@pytest.fixture
def lake(make_workspace):
    lake = Lake(load_settings(make_workspace()))
    lake.contracts.add(*wide_contracts(WHOLE))
    lake.create([DAILY])
    return lake


def wide(lake, *people):
    rows = [{"kind": "customer", "null_exceptions": [], **one} for one in people]
    return pa.Table.from_pylist(rows, schema=lake.contracts.get(DAILY).arrow_schema())


def test_only_the_tags_that_are_asked_for_change_in_a_snapshot_with_their_reasons(lake):
    (day,) = days("2026-02-28")
    lost = {"tag": "gender", "reason": "late"}
    other = {"tag": "age", "reason": "late"}
    lake.append(
        DAILY,
        wide(
            lake,
            {"one_id": 1, "as_of": day, "gender": None, "age": None, "null_exceptions": [other, lost]},
            {"one_id": 2, "as_of": day, "gender": "M", "age": 30},
        ),
    )
    now = wide(
        lake,
        {"one_id": 1, "as_of": day, "gender": "F", "age": 41},
        {"one_id": 3, "as_of": day, "gender": None, "age": 51, "null_exceptions": [other, lost]},
    )
    with open_newest(lake.settings) as desk:
        rows = snapshot_with(lake, desk, desk.lend("past", now), ["gender"], day)
        lake.replace_partition(DAILY, rows, as_of=day)
    with open_newest(lake.settings) as desk:
        again = snapshot_with(lake, desk, desk.lend("past", now), ["gender"], day)
    assert again.equals(rows), "the same again is the same"
    assert [
        (row["one_id"], row["gender"], row["age"], [e["tag"] for e in row["null_exceptions"]])
        for row in lake.read_arrow(DAILY).sort_by("one_id").to_pylist()
    ] == [(1, "F", None, ["age"]), (2, None, 30, []), (3, None, None, ["gender"])]


def test_who_was_who_is_read_by_the_day_and_nowhere_else():
    """Whatever reads today's map directly computes a past day for people who had not yet left or joined."""
    models = [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("compiled/models/*.sql")]
    readers = {
        model.stem
        for model in models
        for table in ("memberships", "redirects")
        if f"source('identity', '{table}')" in model.read_text(encoding="utf-8")
    }
    assert readers == {"int_profiles_keyed", "int_redirects"}
