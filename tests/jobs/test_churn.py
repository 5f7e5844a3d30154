"""A night that moves more than it should ends with exit 3 before anything of it is visible: people, audiences, rows."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.night.churn import check_churn
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped
from lakehouse.ledger.ledger import publish
from lakehouse.query.published import publications
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

MONDAY = date(2026, 1, 5)


TABLES = (
    "segments.runs", "segments.members", "segments.changes", "identity.memberships", "identity.lineage_events",
    "identity.redirects", "quality.measures", "quality.gate_results", "ops.publications", "ops.file_digests",
)  # fmt: skip


@pytest.fixture
def lake(make_workspace):
    """A lake of the few tables that these nights write."""
    lake = Lake(load_settings(make_workspace()))
    lake.create(TABLES)
    return lake


def night(number):
    return MONDAY + timedelta(days=number)


def run_night(lake, day, write):
    """Write rows as the steps of a night do, judge them, publish."""
    write(lake, day)
    check_churn(lake, day)
    publish(lake, day, "f", {})


def judge_night(lake, day, write):
    write(lake, day)
    check_churn(lake, day)


def audience(people, *, code="gold", definition="d"):
    """A night of one segment whose audience is ``people``, with its changes against the day before."""

    def write(lake, day):
        before = lake.read_arrow("segments.members", filters=[("as_of", "=", day - timedelta(days=1))])
        earlier = set(before["one_id"].to_pylist())
        run = {"run_id": f"{code}{day}", "code": code, "version": "1.0.0", "definition_hash": definition, "as_of": day,
               "seq": 1, "inputs": [], "tag_versions": [], "params": "{}", "counts": "{}", "status": "evaluated"}  # fmt: skip
        lake.append_rows("segments.runs", [run])
        rows = {"code": code, "as_of": day, "run_id": run["run_id"]}
        lake.append("segments.members", repeated("segments.members", sorted(people), rows | {
            "variant": "DEFAULT", "holdout": "NONE", "channel": None, "entered_on": day}))  # fmt: skip
        for op, ids in (("ENTER", set(people) - earlier), ("EXIT", earlier - set(people))):
            lake.append(
                "segments.changes",
                repeated("segments.changes", sorted(ids), rows | {"op": op, "cause": "rule"}),
            )

    return write


def repeated(table, one_ids, values):
    schema = contract(table).arrow_schema()
    columns = {name: pa.repeat(pa.scalar(value, schema.field(name).type), len(one_ids)) for name, value in values.items()}  # fmt: skip
    return pa.table({**columns, "one_id": pa.array(one_ids, pa.int64())}).select(schema.names).cast(schema)


def steady_nights(lake, count, *, size=6_000):
    """Nights on which a hundred people go and a hundred come."""
    for number in range(count):
        audience(range(100 * number, 100 * number + size))(lake, night(number))


def test_an_audience_that_loses_most_of_its_people_stops_the_night(lake):
    steady_nights(lake, 4)
    with pytest.raises(GateStopped) as stopped:
        judge_night(lake, night(4), audience(range(400, 2_400)))
    assert stopped.value.exit_code == 3
    assert (
        "the gate after churn stopped: segments.changes: gold.leaving_ratio is 0.666667, must be at most 0.2 "
        "(4000 people left; at most 1.7% did on the 3 nights before)"
    ) in str(stopped.value)
    assert publications(lake.settings) == []
    results = lake.read_arrow("quality.gate_results").to_pylist()
    assert [(row["measure"], row["is_passed"]) for row in results if row["gate"] == "churn" and "gold" in row["measure"]] == [
        ("gold.leaving_ratio", False)
    ]  # fmt: skip


def test_an_audience_that_gains_strangers_stops_the_night_and_a_threshold_with_a_reason_lets_it_pass(lake):
    steady_nights(lake, 4)
    with pytest.raises(GateStopped, match=r"gold.entering_ratio is 0\.5.*6000 people entered"):
        judge_night(lake, night(4), audience(range(300, 12_300)))
    (lake.settings.workspace / "cdp.yml").write_text(
        "thresholds: {segments.changes.gold.entering_ratio: {max: 0.6, why: the branch of the north was added}}\n"
    )
    check_churn(Lake(load_settings(lake.settings.workspace)), night(4))


def test_an_audience_is_held_against_its_own_history_and_not_against_others(lake):
    for number in range(5):  # of birthdays: other people every day
        judge_night(lake, night(number), audience(range(2_000 * number, 2_000 * number + 2_000)))


def test_small_audiences_and_the_first_nights_are_not_judged(lake):
    for number, people in enumerate((range(10), range(900), range(5_000, 5_900), range(0))):
        judge_night(lake, night(number), audience(people))
    steady_nights_of_a_new_one = [audience(range(9_000)), audience(range(9_000, 18_000))]
    for number, write in enumerate(steady_nights_of_a_new_one, start=4):
        judge_night(lake, night(number), write)


def test_a_changed_definition_begins_its_history_anew(lake):
    steady_nights(lake, 4)
    judge_night(lake, night(4), audience(range(20_000, 26_000), definition="another"))
    judge_night(lake, night(5), audience(range(20_000, 21_000), definition="another"))


def member(profile_id, one_id, day, **values):
    return {"profile_id": profile_id, "one_id": one_id, "source": "core", "source_key": str(profile_id),
            "_feed": "identity", "_file": "x", "_row": 1, "valid_from": day, **values}  # fmt: skip


def event(day, old, new, count=1):
    return {"happened_on": day, "event": "MERGE", "from_one_id": old, "to_one_id": new, "profile_count": count,
            "cause": "links", "rules_version": "1"}  # fmt: skip


def change_map(lake, day, one_ids):
    rows = pa.Table.from_pylist([
        {"profile_id": profile, "one_id": one_id, "source": "core", "source_key": str(profile), "_file": "x", "_row": 1}
        for profile, one_id in one_ids.items()
    ])  # fmt: skip
    schema = contract("identity.memberships").arrow_schema()
    rows = rows.cast(pa.schema([schema.field(name) for name in rows.column_names]))
    lake.change_states("identity.memberships", rows, feed="identity", business_date=day, mode="snapshot")


def test_people_who_change_their_number_without_an_event_stop_the_night(lake):
    run_night(lake, night(0), lambda lake, day: change_map(lake, day, {1: 11, 2: 12, 3: 13, 4: 13}))

    def merge(lake, day):
        change_map(lake, day, {1: 11, 2: 11, 3: 13, 4: 13})
        lake.append_rows("identity.lineage_events", [event(day, 12, 11)])

    run_night(lake, night(1), merge)
    with pytest.raises(GateStopped, match=r"identity.memberships: unexplained_moves is 2, must be at most 0"):
        run_night(lake, night(2), lambda lake, day: change_map(lake, day, {1: 11, 2: 11, 3: 99, 4: 99}))


def test_an_event_of_another_night_or_of_other_people_explains_nothing(lake):
    run_night(lake, night(0), lambda lake, day: change_map(lake, day, {1: 11, 2: 12}))

    def exchange(lake, day):
        change_map(lake, day, {1: 12, 2: 11})
        lake.append_rows("identity.lineage_events", [event(day, 12, 11), event(night(0), 11, 12)])

    with pytest.raises(GateStopped, match="unexplained_moves is 1"):
        run_night(lake, night(1), exchange)


def test_a_table_that_lost_rows_since_the_last_publication_stops_the_night(lake):
    run_night(
        lake,
        night(0),
        lambda lake, day: lake.append_rows("identity.memberships", [member(1, 1, day), member(2, 2, day)]),
    )
    run_night(lake, night(1), lambda lake, day: None)

    def lose(lake, day):
        DeltaTable(lake.path("identity.memberships")).delete("profile_id = 2")

    with pytest.raises(GateStopped) as stopped:
        run_night(lake, night(2), lose)
    assert (
        "identity.memberships: rows_lost_ratio is 0.5, must be at most 0 (1 of 2 rows that 2026-01-06 published are gone; "
        "nothing a night does takes rows away)"
    ) in str(stopped.value)


def test_a_derived_table_may_shrink_and_not_by_most_of_it(lake):
    def redirects(count):
        def write(lake, day):
            ids = pa.array(range(count), pa.int64())
            lake.overwrite("identity.redirects", pa.table({"from_one_id": ids, "to_one_id": ids}))

        return write

    for number, count in enumerate((3_000, 2_000, 1_200)):
        run_night(lake, night(number), redirects(count))
    with pytest.raises(
        GateStopped, match=r"identity.redirects: rows_lost_ratio is 0\.9.* must be at most 0\.5"
    ):
        run_night(lake, night(3), redirects(100))


def test_a_rerun_of_the_newest_night_is_held_against_the_night_before_it(lake):
    run_night(lake, night(0), lambda lake, day: lake.append_rows("identity.memberships", [member(1, 1, day)]))
    two = [member(2, 2, night(1)), member(3, 3, night(1))]
    run_night(lake, night(1), lambda lake, day: lake.append_rows("identity.memberships", two))
    run_night(
        lake,
        night(1),
        lambda lake, day: DeltaTable(lake.path("identity.memberships")).delete("profile_id = 3"),
    )
    assert [entry.contents["identity.memberships"].rows for entry in publications(lake.settings)] == [1, 3, 2]
