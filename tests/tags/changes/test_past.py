"""Tags as of a past day: which days and tags may be asked for, and what becomes of a day's snapshot. No dbt runs here."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import UsageError
from lakehouse.query.desk import open_newest
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.past import (
    Recomputed,
    compare_rows,
    end_values,
    entries_of,
    month_ends,
    past_rows,
    require_facts,
    snapshot_with,
)
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


CODES = ("gender", "age", "aml_grade")
SNAPSHOT = [
    {"one_id": 1, "gender": "F", "age": 40},
    {
        "one_id": 2,
        "gender": None,
        "age": 30,
        "null_exceptions": [{"tag": "gender", "reason": "not_applicable"}],
    },
    {"one_id": 3, "gender": "M", "age": 20, "null_exceptions": [{"tag": "aml_grade", "reason": "expired"}]},
]


def compared(lake, *people, has_night_before=True):
    """Compare the snapshot above with people who were computed again: by tag who differs, and who stands on one side only."""
    (day,) = days("2026-02-28")
    map_of_people = {
        "anchor_profile_id": 1,
        "created_on": day,
        "kind": "customer",
        "status": "active",
        "profile_count": 1,
    }
    lake.append_rows("identity.one_ids", [{"one_id": number, **map_of_people} for number in (1, 2, 3, 4)])
    row = {"source": "bank", "_feed": "f", "_file": "f", "_row": 1, "valid_from": day}
    lake.append_rows(
        "identity.memberships",
        [
            {"one_id": n, "source_key": str(n), "profile_id": n, **row}
            for n in (1, 2, 3, 4)
            if n != lake.erased
        ],
    )
    entries = entries_of(WHOLE, CODES)
    with open_newest(lake.settings) as desk:
        past, stored = (
            desk.lend(name, wide(lake, *({"as_of": day, **one} for one in rows)))
            for name, rows in (("past", people), ("stored", SNAPSHOT))
        )
        rows = compare_rows(desk, past, stored, entries, has_night_before=has_night_before)
    return {one.tag: one for one in rows}


@pytest.fixture
def people_lake(lake):
    lake.create(["identity.one_ids", "identity.memberships"])
    lake.erased = None
    return lake


def test_a_snapshot_that_is_computed_again_is_equal(people_lake):
    outcomes = compared(people_lake, *SNAPSHOT)
    assert list(outcomes.values()) == [Recomputed(code, 3, 0) for code in CODES]


def test_a_person_who_is_missing_or_extra_differs_in_every_tag(people_lake):
    outcomes = compared(people_lake, *SNAPSHOT[:2], {"one_id": 4})
    assert list(outcomes.values()) == [Recomputed(code, 4, 2, missing=1, extra=1) for code in CODES]


def test_a_person_who_was_erased_since_is_nobody_s_difference(people_lake):
    people_lake.erased = 3
    outcomes = compared(people_lake, *SNAPSHOT[:2])
    assert list(outcomes.values()) == [Recomputed(code, 2, 0) for code in CODES]


def test_another_value_another_reason_and_no_reason_differ(people_lake):
    unknown = {**SNAPSHOT[1], "null_exceptions": [{"tag": "gender", "reason": "late"}]}
    outcomes = compared(
        people_lake, {**SNAPSHOT[0], "age": 41}, unknown, {**SNAPSHOT[2], "null_exceptions": []}
    )
    assert {code: one.differing for code, one in outcomes.items()} == {"gender": 1, "age": 1, "aml_grade": 1}


def test_whether_a_value_had_ended_is_not_compared_where_the_night_before_is_not_kept(people_lake):
    people = (*SNAPSHOT[:1], {**SNAPSHOT[1], "null_exceptions": []}, {**SNAPSHOT[2], "null_exceptions": []})
    outcomes = compared(people_lake, *people, has_night_before=False)
    assert {code: one.differing for code, one in outcomes.items()} == {"gender": 1, "age": 0, "aml_grade": 0}


@pytest.mark.parametrize(
    ("quality_version", "backfill_version", "reasons"),
    [
        ("same", None, {1: ["expired"], 2: ["expired"]}),
        ("0.0.1", None, {}),  # of another version nobody knows what it held
        ("0.0.1", "same", {1: ["expired"], 2: ["expired"]}),
        ("same", "0.0.1", {}),
    ],
)
def test_a_held_value_that_had_ended_by_a_past_day_is_null_because_it_expired(
    people_lake, quality_version, backfill_version, reasons
):
    before, day = days("2026-01-31", "2026-02-28")
    lake, entry = people_lake, WHOLE.registry.entries["aml_grade"]
    lake.create(["quality.tag_quality", "tags.backfills"])
    ended = [{"tag": "aml_grade", "reason": "expired"}]
    snapshot = [
        {"one_id": 1, "aml_grade": "H"},
        {"one_id": 2, "null_exceptions": ended},
        {"one_id": 3},
        {"one_id": 4, "aml_grade": "L"},
    ]
    lake.append(DAILY, wide(lake, *({"as_of": before, **one} for one in snapshot)))

    def version(name):
        return entry.version if name == "same" else name

    names = (
        "people",
        "eligible",
        "filled",
        "unknown",
        "not_applicable",
        "late",
        "expired",
        "unexplained",
        "outside_domain",
        "distinct",
    )
    counts = {f"{name}_count": 4 for name in names} | {"late_count": 0}
    quality = {"as_of": before, "tag": "aml_grade", "version": version(quality_version), **counts}
    lake.append_rows("quality.tag_quality", [quality])
    if backfill_version:
        backfill = {
            "as_of": before,
            "tag": "aml_grade",
            "version": version(backfill_version),
            "identity": "as-of",
            "known_on": day,
        }
        lake.append_rows("tags.backfills", [{**backfill, "people_count": 4, "filled_count": 2}])
    folder = Path(lake.path("tags_work.customer_tags"))
    folder.mkdir(parents=True)
    people = [
        {"one_id": number, "as_of": day, "aml_grade": "M" if number == 4 else None} for number in (1, 2, 3, 4)
    ]
    pq.write_table(wide(lake, *people), folder / "a.parquet")
    end_values(lake, compilation_of_people(), day)
    with open_newest(lake.settings) as desk:
        rows = desk.records(
            f"SELECT one_id, aml_grade, null_exceptions FROM {past_rows(lake, desk)} ORDER BY one_id"
        )
    assert [row["aml_grade"] for row in rows] == [None, None, None, "M"]
    expired = {row["one_id"]: [e["reason"] for e in row["null_exceptions"]] for row in rows}
    assert {number: found for number, found in expired.items() if found} == reasons


def compilation_of_people():
    """Give the shipped tags without those of other entities, of which this lake has no rows."""
    return dataclasses.replace(WHOLE, others=())


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
