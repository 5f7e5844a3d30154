"""Planted faults of tags: each stops the night and is named with its figures; the same nights without a fault pass.

A lake of a drawn history: four nights of a few tags of two thousand people, then the night that is judged.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped
from lakehouse.query.desk import open_newest, open_scratch
from lakehouse.settings.settings import load_settings
from lakehouse.tables.creation import create_table
from lakehouse.tables.lake import Lake
from tags.compile.compilation import compile_tags
from tags.compile.plan import ScanPlan
from tags.quality.history import TagHistory, quality_rows, read_history
from tags.quality.judging import add_stability, judge_history, tag_measures
from tags.quality.measures import measure_tags
from tags.quality.sources import tables_read

PEOPLE = 2_000
NEWER = (
    "version", "value_count", "total", "quantiles", "bins", "compared_count", "changed_count", "changed_ratio",
    "baseline_nights", "psi", "source_on", "late_days", "value_on",
)  # fmt: skip
MONDAY = dt.date(2026, 3, 9)
WHOLE = compile_tags(None).plan
CODES = (
    "gender",
    "age",
    "aum_eod",
    "demand_balance",
    "is_staff",
    "days_past_due",
    "aum_gap_to_next_tier",
    "reachable_channels",
)
SCANS = {entry.code: scan.relation.noun for scan in WHOLE.scans for entry in scan.entries}
# A quarter of the people are of the population of one tag.
POPULATIONS = {"days_past_due": "age >= 60"}
PLAN = ScanPlan(
    tuple(
        entry.model_copy(update={"population": POPULATIONS.get(entry.code)})
        for entry in WHOLE.entries
        if entry.code in CODES
    ),
    WHOLE.scans,
    WHOLE.layers,
)
ENTRIES = {entry.code: entry for entry in PLAN.entries}
SOURCES = sorted(set(SCANS.values()))
REGISTRY = compile_tags(None).registry
TABLES = {entry.code: tables_read(REGISTRY, entry) for entry in WHOLE.entries}


@cache
def _people() -> list[dict]:
    draw = np.random.default_rng(7)
    cents = draw.integers(10_000, 500_000_000, PEOPLE)
    words = draw.choice(["M", "F", "F", None], PEOPLE)
    ages, gaps = draw.integers(18, 80, PEOPLE), draw.integers(100, 100_000, PEOPLE)
    past_due = draw.choice([0, 0, 0, 5, 40, None, None, None, None, None], PEOPLE)
    shares = draw.random((3, PEOPLE))
    return [
        {
            "one_id": number,
            "gender": words[number],
            "age": int(ages[number]),
            "aum_eod": Decimal(int(cents[number])) / 100,
            "demand_balance": Decimal(int(cents[number]) // 2 if shares[0][number] < 0.7 else 0) / 100,
            "is_staff": bool(shares[1][number] < 0.05),
            "days_past_due": past_due[number],
            "aum_gap_to_next_tier": Decimal(int(gaps[number])),
            "reachable_channels": ["SMS"] if shares[2][number] < 0.3 else [],
            "null_exceptions": [],
            "read_sources": SOURCES,
            "unexplained_nulls": [],
        }
        for number in range(PEOPLE)
    ]


def people_of(day: dt.date, count: int = PEOPLE) -> list[dict]:
    """The people of a night; from one to the next one in fifty has another balance."""
    people = [dict(one) for one in _people()[:count]]
    for one in people:
        one["aum_eod"] += 10 * (one["one_id"] % 50 == day.toordinal() % 50)
    return people


def rows_of(people: list[dict]) -> pa.Table:
    kinds = {"int": pa.int32(), "decimal": pa.decimal128(18, 2), "boolean": pa.bool_(), "string": pa.string()}
    fields = [("one_id", pa.int64())]
    for code in CODES:
        kind = kinds[ENTRIES[code].value.type]
        fields.append((code, pa.list_(kind) if ENTRIES[code].value.cardinality == "set" else kind))
    exception = pa.struct([("tag", pa.string()), ("reason", pa.string())])
    texts = pa.list_(pa.string())
    fields += [
        ("null_exceptions", pa.list_(exception)),
        ("read_sources", texts),
        ("unexplained_nulls", texts),
    ]
    schema = pa.schema(fields)
    for one in people:
        for code in ("aum_eod", "demand_balance", "aum_gap_to_next_tier"):
            one[code] = one[code] if one[code] is None else Decimal(one[code]).quantize(Decimal("0.01"))
    return pa.Table.from_pylist(people, schema=schema)


class Nights:
    """Nights of one lake: each is measured, judged, and kept as published."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.before: pa.Table | None = None

    def judge(self, day: dt.date, people: list[dict]) -> None:
        rows = rows_of(people)
        with open_newest(self.lake.settings) as desk:
            wide = desk.lend("wide", rows)
            before = desk.lend("before", self.before) if self.before is not None else None
            quality = measure_tags(desk, wide, PLAN, day, before)
            history = read_history(desk, day)
        add_stability(PLAN.entries, quality, history)
        for row in quality:
            row |= {"source_on": day, "late_days": 0, "value_on": day}
        try:
            judge_history(
                self.lake, tag_measures(self.lake.settings, PLAN.entries, quality, history, TABLES), day
            )
        finally:
            self.quality = {row["tag"]: row for row in quality}
        schema = contract("quality.tag_quality").arrow_schema()
        self.lake.replace_partition(
            "quality.tag_quality", pa.Table.from_pylist(quality, schema=schema), as_of=day
        )
        self.before = rows


def new_nights(folder: Path) -> Nights:
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(folder))
    lake.create(["quality.tag_quality", "quality.measures", "quality.gate_results"])
    return Nights(lake)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Nights:
    """Five usual nights; none of them stops."""
    nights = new_nights(tmp_path_factory.mktemp("usual"))
    for number in range(5):
        day = MONDAY + dt.timedelta(days=number)
        nights.judge(day, people_of(day))
    return nights


@pytest.fixture
def nights(tmp_path, usual) -> Nights:
    """A copy of the lake after five usual nights, without a JVM."""
    shutil.copytree(usual.lake.settings.workspace, tmp_path, dirs_exist_ok=True)
    nights = Nights(Lake(load_settings(tmp_path)))
    nights.before, nights.quality = usual.before, usual.quality
    return nights


D = MONDAY + dt.timedelta(days=5)


def every(people, code, value):
    for one in people:
        one[code] = value(one) if callable(value) else value


def null_for_everybody(people):
    every(people, "age", None)


def nobody_applies(people):
    every(people, "days_past_due", None)
    every(people, "null_exceptions", [{"tag": "days_past_due", "reason": "not_applicable"}])


def gone_in_the_population(people):
    """A quarter of all answers, which only makes a night look; they are all those of the population."""
    every(people, "days_past_due", lambda one: None if one["age"] >= 60 else one["days_past_due"])


def half_the_answers_gone(people):
    every(people, "gender", lambda one: one["gender"] if one["one_id"] % 5 == 0 else None)


def an_empty_relation(people):
    every(people, "read_sources", [s for s in SOURCES if s != SCANS["aum_eod"]])
    every(people, "aum_eod", Decimal(0))


def doubled_amounts(people):
    every(people, "aum_eod", lambda one: 2 * one["aum_eod"])


def cents_for_yuan(people):
    every(people, "demand_balance", lambda one: 100 * one["demand_balance"])


def swapped_words(people):
    every(people, "gender", lambda one: {"M": "F", "F": "M"}.get(one["gender"]))


def one_value_for_all(people):
    every(people, "is_staff", True)


def shifted_days(people):
    every(people, "age", lambda one: min(120, one["age"] + 30))


def answers_of_others(people):
    """The distribution stays as it was, and nobody has their own answer: a broken join."""
    gaps = [one["aum_gap_to_next_tier"] for one in people]
    for one, gap in zip(people, gaps[1:] + gaps[:1], strict=True):
        one["aum_gap_to_next_tier"] = gap


def lost_words_of_sets(people):
    every(people, "reachable_channels", [])


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (null_for_everybody, r"age\.lost_ratio is 1, must be at most 0\.5 \(0 people have an answer and 2,000 had one"),
        (nobody_applies, r"days_past_due\.lost_ratio is 1, must be"),
        (gone_in_the_population, r"days_past_due\.lost_ratio is 1, must be at most 0\.5 \(0 people have an answer and \d\d\d had one"),
        (half_the_answers_gone, r"gender\.lost_ratio is 0\.[78]"),
        (an_empty_relation, r"aum_eod\.lost_ratio is 1, must be"),
        (doubled_amounts, r"aum_eod\.amount_factor is 2, must be at most 1\.6 \(the mean is 5,116,\d+\.\d+ and was 2,558,"),
        (cents_for_yuan, r"demand_balance\.amount_factor is \d+"),
        (swapped_words, r"gender\.psi is 0\.\d+, must be at most 0\.25 .*distributed otherwise than on the 5 nights before"),
        (one_value_for_all, r"is_staff\.psi is"),
        (shifted_days, r"age\.psi is"),
        (answers_of_others, r"aum_gap_to_next_tier\.changed_ratio is (0\.9\d+|1), must be at most 0\.5 \(\S+ of 2,000 people"),
        (lost_words_of_sets, r"reachable_channels\.(psi|changed_ratio) is"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_planted_fault_stops_the_night_and_is_named(nights, fault, sentence):
    people = people_of(D)
    fault(people)
    with pytest.raises(GateStopped, match=sentence) as stopped:
        nights.judge(D, people)
    assert stopped.value.exit_code == 3


def test_who_comes_into_a_population_without_an_answer_is_missed_though_nobody_lost_one(nights, caplog):
    """People grow old in a file that was read wrongly; of these none says how late a loan is."""
    people = people_of(D)
    for one in people:
        if one["age"] < 60 and one["days_past_due"] is None:
            one["age"] = 60
    with pytest.raises(GateStopped, match=r"age\.psi"):
        nights.judge(D, people)
    assert "days_past_due.lost_ratio is 0.487259" in caplog.text
    assert "333 of 1,295 people of its population have an answer, and 50.2 % of it had one" in caplog.text
    row = nights.quality["days_past_due"]
    assert row["value_count"] == sum(one["days_past_due"] is not None for one in people_of(D))


@pytest.mark.parametrize("fault", [null_for_everybody, doubled_amounts, answers_of_others])
def test_first_nights_have_no_history_and_stop_nothing(tmp_path, fault):
    nights = new_nights(tmp_path)
    for number in range(3):
        people = people_of(MONDAY + dt.timedelta(days=number))
        if number == 2:
            fault(people)
        nights.judge(MONDAY + dt.timedelta(days=number), people)
    assert nights.quality["age"]["baseline_nights"] == 2


def test_a_few_people_move_by_chance_and_only_what_all_of_them_lose_is_told(tmp_path):
    nights = new_nights(tmp_path)
    for number in range(5):
        people = people_of(MONDAY + dt.timedelta(days=number), 300)
        if number == 4:
            doubled_amounts(people)
            swapped_words(people)
            answers_of_others(people)
        nights.judge(MONDAY + dt.timedelta(days=number), people)
    people = people_of(MONDAY + dt.timedelta(days=5), 300)
    null_for_everybody(people)
    with pytest.raises(GateStopped, match=r"age\.lost_ratio is 1"):
        nights.judge(MONDAY + dt.timedelta(days=5), people)


def test_a_new_month_is_looked_at_and_does_not_stop_until_one_is_known(nights, caplog):
    first = dt.date(2026, 4, 1)
    people = people_of(first)
    shifted_days(people)
    nights.judge(first, people)
    assert "age.psi is" in caplog.text
    people = people_of(first)
    null_for_everybody(people)
    with pytest.raises(GateStopped, match=r"age\.lost_ratio is 1"):
        nights.judge(first, people)


def test_another_version_of_a_tag_begins_its_history_anew(nights):
    with open_newest(nights.lake.settings) as desk:
        assert ("age", ENTRIES["age"].version) in read_history(desk, D)
        assert ("age", "99.0.0") not in read_history(desk, D)


def test_an_own_bound_with_a_reason_lets_a_night_pass_and_is_told_with_who_set_it(nights, caplog):
    people = people_of(D)
    doubled_amounts(people)
    with pytest.raises(GateStopped):
        nights.judge(D, people)
    file = nights.lake.settings.workspace / "cdp.yml"
    file.write_text(
        "generate_secrets: true\n"
        "thresholds:\n"
        "  tags.customer_tags.aum_eod.amount_factor: {max: 3, why: a second bank was merged, by: Li Wei}\n"
        "  tags.customer_tags.aum_eod.psi: {max: 2, why: the same}\n"
        "  tags.customer_tags.aum_eod.changed_ratio: {max: 1, why: the same}\n"
    )
    nights.lake = Lake(load_settings(file.parent))
    nights.judge(D, people)
    assert (
        "tags.customer_tags: aum_eod.amount_factor is 2 and beyond the shipped bound (at most 1.6); cdp.yml lets it pass: "
        "a second bank was merged (set by Li Wei)"
    ) in caplog.text


def test_no_single_person_is_told_by_the_measures(nights):
    quality = nights.quality
    assert quality["gender"]["bins"][0] == {"bin": "F", "people": quality["gender"]["bins"][0]["people"]}
    assert all(
        one["people"] >= 10 or one["bin"] == "other" for row in quality.values() for one in row["bins"]
    )
    with open_scratch() as desk:
        few = measure_tags(desk, desk.lend("wide", rows_of(people_of(D, 50))), PLAN, D)
    assert {row["quantiles"] is None for row in few} == {True}


def test_a_lake_of_an_older_product_has_rows_and_no_history(tmp_path):
    """Its data files lack the columns that came later, though the table has them."""
    table = contract("quality.tag_quality")
    older = {name: column for name, column in table.columns.items() if name not in NEWER}
    (tmp_path / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(tmp_path))
    create_table(replace(table, columns=older), Path(lake.path(table.name)))
    row = dict.fromkeys(older, 0) | {"as_of": MONDAY, "tag": "age", "coverage_ratio": None}
    rows = pa.Table.from_pylist([row], schema=pa.schema([table.arrow_schema().field(name) for name in older]))
    write_deltalake(lake.path(table.name), rows, mode="append")
    lake.create([table.name, "quality.measures", "quality.gate_results"])
    with open_newest(lake.settings) as desk:
        assert desk.rows(f"SELECT tag, version, value_on FROM {quality_rows(desk)}") == [("age", None, None)]
        assert read_history(desk, D) == {}
    Nights(lake).judge(D, people_of(D, 20))


@pytest.mark.parametrize(
    ("code", "nights", "severity"),
    [
        ("fatigue", 8, "warn"),
        ("fatigue", 30, "warn"),
        ("fatigue", 31, "stop"),
        ("reachable_channels", 8, "stop"),  # consents and addresses are delivered to it too
        ("gender", 8, "stop"),
    ],
)
def test_what_the_platform_itself_began_to_do_stops_no_night_of_its_first_month(
    tmp_path, code, nights, severity
):
    (tmp_path / "cdp.yml").write_text("generate_secrets: true\n")
    (entry,) = (one for one in WHOLE.entries if one.code == code)
    past = TagHistory(nights, 7, False, 2000, None, 2000, None, None, {"LOW": 1.0}, 0.0, 0.01)
    row = {
        "tag": code, "as_of": D, "value_on": D, "filled_count": 2000, "value_count": 2000, "psi": 0.55,
        "changed_ratio": Decimal("0.6"), "changed_count": 1200, "compared_count": 2000,
    }  # fmt: skip
    measures = tag_measures(load_settings(tmp_path), [entry], [row], {(code, entry.version): past}, TABLES)
    assert {one.bound.name: one.bound.severity for one in measures} == {
        f"{code}.lost_ratio": "stop", f"{code}.psi": severity, f"{code}.changed_ratio": severity,
    }  # fmt: skip


def test_contacts_that_are_gone_stop_the_night_in_the_first_month_too(tmp_path):
    (tmp_path / "cdp.yml").write_text("generate_secrets: true\n")
    (entry,) = (one for one in WHOLE.entries if one.code == "channel_habit")
    past = TagHistory(8, 7, False, 2000, None, 2000, None, None, None, None, None)
    row = {
        "tag": entry.code,
        "as_of": D,
        "value_on": D,
        "filled_count": 0,
        "value_count": 0,
        "psi": None,
        "changed_ratio": None,
    }
    (loss,) = tag_measures(
        load_settings(tmp_path), [entry], [row], {(entry.code, entry.version): past}, TABLES
    )
    assert (loss.bound.severity, loss.value, loss.bound.max) == ("stop", 1.0, 0.5)
