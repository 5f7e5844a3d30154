"""What changed in people's tags since the night before, with its cause, and the same as events that are only added. No JVM."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from lakehouse.query.desk import open_newest
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.build.changes import EVENTS, HISTORY, has_history, tag_changes, write_changes
from tags.build.lateness import night_before
from tags.build.project import DAILY, wide_contracts
from tags.compile.compilation import compile_tags

D1, D2 = dt.date(2026, 3, 30), dt.date(2026, 3, 31)
D3 = dt.date(2026, 4, 1)
WHOLE = compile_tags(None)
ENTRIES = {entry.code: entry for entry in WHOLE.plan.entries}
FEW = ("gender", "is_staff", "reachable_channels", "aum_eod", "aml_grade")


class Bank:
    """A lake with wide rows by night, and the versions of tags that a night computed."""

    def __init__(self, folder):
        self.lake = open_lake(load_settings(folder), contracts=wide_contracts(WHOLE))

    def night(self, day, people, versions=None):
        """Write the wide rows of a night, by OneID, in place of those it had."""
        rows = [
            {"one_id": one, "kind": "customer", "null_exceptions": [], "as_of": day, **values}
            for one, values in people.items()
        ]
        table = pa.Table.from_pylist(rows, schema=self.lake.contracts.get(DAILY).arrow_schema())
        self.lake.replace_partition(DAILY, table, as_of=day)
        quality = self.lake.contracts.get("quality.tag_quality")
        counts = {
            name: 0 for name, c in quality.columns.items() if c.required and c.type in ("bigint", "int")
        }
        kept = [
            {
                **counts,
                "as_of": day,
                "tag": code,
                "version": (versions or {}).get(code, ENTRIES[code].version),
            }
            for code in FEW
            if (versions or {}).get(code) != "none"
        ]
        table = pa.Table.from_pylist(kept, schema=quality.arrow_schema())
        self.lake.replace_partition("quality.tag_quality", table, as_of=day)

    def keep(self, day, entries=None):
        """Keep what changed on a night; give the number of changes."""
        with open_newest(self.lake.settings) as desk:
            rows = desk.define("wide", f"SELECT * FROM {DAILY} WHERE as_of = DATE '{day}'")
            chosen = entries or [ENTRIES[code] for code in FEW]
            changes = tag_changes(desk, rows, chosen, night_before(desk, day), day)
            return write_changes(self.lake, desk, changes, day)

    def history(self):
        """Give the kept changes in short."""
        return [
            (str(row["as_of"])[5:], row["tag"], row["one_id"], row["from_value"], row["to_value"], row["cause"])
            for row in sorted(self.lake.read_arrow(HISTORY).to_pylist(), key=lambda r: (r["as_of"], r["tag"], r["one_id"]))
        ]  # fmt: skip

    def events(self):
        """Give the events in short, in the order they were added."""
        return [
            (row["attempt"], row["event"], row["tag"], row["one_id"], row["to_value"], row["cause"])
            for row in sorted(self.lake.read_arrow(EVENTS).to_pylist(), key=lambda r: (r["as_of"], r["attempt"], r["tag"], r["one_id"], r["event"]))
        ]  # fmt: skip


@pytest.fixture
def bank(make_workspace):
    return Bank(make_workspace())


BEFORE = {
    1: {"gender": None, "is_staff": False, "reachable_channels": ["SMS", "PUSH"], "aum_eod": Decimal(1), "aml_grade": "L"},
    2: {"gender": "F", "is_staff": False, "reachable_channels": []},
    3: {"gender": "F", "is_staff": False, "reachable_channels": []},
}  # fmt: skip
AFTER = {
    1: {"gender": "F", "is_staff": True, "reachable_channels": ["PUSH", "SMS"], "aum_eod": Decimal(2), "aml_grade": "H"},
    2: {"gender": None, "is_staff": False, "reachable_channels": ["WECHAT", "SMS"]},
    4: {"gender": "M", "is_staff": True, "reachable_channels": []},
}  # fmt: skip


def test_a_first_night_has_no_changes(bank):
    bank.night(D1, BEFORE)
    assert bank.keep(D1) == 0
    assert (bank.history(), bank.events()) == ([], [])


def test_categories_booleans_and_sets_that_changed_are_kept_with_both_values(bank):
    bank.night(D1, BEFORE)
    bank.night(D2, AFTER)
    assert bank.keep(D2) == 4
    assert bank.history() == [
        ("03-31", "gender", 1, None, "F", "value"),
        ("03-31", "gender", 2, "F", None, "value"),
        ("03-31", "is_staff", 1, "false", "true", "value"),
        ("03-31", "reachable_channels", 2, "[]", '["SMS","WECHAT"]', "value"),
    ]


def test_a_set_in_another_order_is_no_change(bank):
    bank.night(D1, BEFORE)
    bank.night(D2, {1: {**BEFORE[1], "reachable_channels": ["PUSH", "SMS"]}})
    assert bank.keep(D2) == 0


def test_what_may_only_exclude_has_no_history_and_numbers_only_where_they_say_so():
    assert not has_history(ENTRIES["aml_grade"])
    assert ENTRIES["aml_grade"].history is True
    unsaid = {code: ENTRIES[code].model_copy(update={"history": None}) for code in FEW}
    assert [code for code in FEW if has_history(unsaid[code])] == ["gender", "is_staff", "reachable_channels"]
    assert has_history(ENTRIES["aum_eod"].model_copy(update={"history": True}))
    assert not has_history(ENTRIES["gender"].model_copy(update={"history": False}))


def test_a_merge_or_split_since_the_night_before_is_the_cause_before_any_other(bank):
    bank.night(D1, BEFORE, {"gender": "0.9.0"})
    bank.night(D3, AFTER)
    event = {"event": "MERGE", "from_one_id": 3, "to_one_id": 1, "profile_count": 1, "cause": "links", "rules_version": "1"}  # fmt: skip
    bank.lake.append_rows("identity.lineage_events", [
        {**event, "happened_on": D2},
        # What corrects a publication of the same night, or lies before the night before, changed nothing since.
        {**event, "happened_on": D3, "to_one_id": 2, "corrects": 7},
        {**event, "happened_on": D1, "to_one_id": 2},
        {**event, "happened_on": D2, "event": "CREATE", "from_one_id": None, "to_one_id": 2},
    ])  # fmt: skip
    bank.keep(D3)
    assert [(tag, one, cause) for _, tag, one, *_, cause in bank.history()] == [
        ("gender", 1, "identity"),
        ("gender", 2, "definition"),
        ("is_staff", 1, "identity"),
        ("reachable_channels", 2, "value"),
    ]


def test_a_parameter_that_took_effect_is_a_cause_and_a_tag_that_is_new_has_no_change(bank):
    from vocabulary.registry import Param

    bank.night(D1, BEFORE, {"gender": "none"})
    bank.night(D2, AFTER)
    later = ENTRIES["is_staff"].model_copy(update={"params": [Param(name="grades", value=1, since=D2)]})
    earlier = ENTRIES["reachable_channels"].model_copy(
        update={"params": [Param(name="grades", value=1, since=D1)]}
    )
    bank.keep(D2, [ENTRIES["gender"], later, earlier])
    assert [(tag, cause) for _, tag, *_, cause in bank.history()] == [
        ("is_staff", "definition"),
        ("reachable_channels", "value"),
    ]


def test_the_same_night_again_adds_no_event_and_another_answer_withdraws_what_was_told(bank):
    bank.night(D1, BEFORE)
    bank.night(D2, AFTER)
    bank.keep(D2)
    first, version = bank.events(), bank.lake.version(EVENTS)
    assert {(attempt, event) for attempt, event, *_ in first} == {(1, "CHANGE")}
    assert len(first) == 4
    bank.keep(D2)
    assert (bank.events(), bank.lake.version(EVENTS)) == (first, version)
    bank.night(D2, {**AFTER, 1: {**AFTER[1], "gender": "M", "is_staff": False}})
    assert bank.keep(D2) == 3
    assert bank.events() == [
        *first,
        (2, "CHANGE", "gender", 1, "M", "value"),
        (2, "WITHDRAWAL", "gender", 1, "F", "value"),
        (2, "WITHDRAWAL", "is_staff", 1, "true", "value"),
    ]
    bank.night(D2, AFTER)
    bank.keep(D2)
    standing = {key[2:] for key in bank.events() if key[0] == 3 and key[1] == "CHANGE"}
    assert standing == {("gender", 1, "F", "value"), ("is_staff", 1, "true", "value")}
    actions = pa.table(bank.lake.delta(EVENTS).get_add_actions(flatten=True))
    assert actions.num_rows == 3, "events are only added: no file was written again"
