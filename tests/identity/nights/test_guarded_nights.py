"""Guards over nights: decisions, windows, limits, rule changes, crashes and gates, on a real lake without a JVM."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from identity_records import deliver

from identity import resolve
from identity.reading.decisions import decide, revoke, waits
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped, SettingsInvalid, UsageError
from lakehouse.gates.gates import check_tables
from lakehouse.query.hashing import frame_hash, table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

N1, N2, N3, N4 = (date(2026, 11, 18) + timedelta(days=n) for n in range(4))
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
ZHANG = {"id": "core/1", "name": "张伟", "national_id": "110105198503121015", "phone": "13812340001"}
LI = {"id": "core/2", "name": "李娜", "national_id": "110105198706250028", "phone": "13812340002"}
APP = {"id": "app/9", "kind": "prospect", "app_user_id@app": "u9", "phone": "13812340001"}
LONE = {"id": "web/7", "kind": "anonymous", "email": "z@example.org"}
TABLES = [
    f"identity.{t}"
    for t in ("nodes", "keys", "node_states", "links", "components", "memberships", "one_ids", "lineage_events",
              "corrections", "redirects", "inheritances", "refused_links", "decisions", "golden_records", "nights")
]  # fmt: skip


@pytest.fixture
def lake(make_workspace):
    lake = Lake(load_settings(make_workspace()))
    lake.create(
        [
            *TABLES,
            "trusted.customers",
            "trusted.identifier_observations",
            "quality.measures",
            "quality.gate_results",
        ]
    )
    return lake


def night(lake, day, records, **options):
    deliver(lake, day, records)
    return resolve(lake, day, **options)


def people(lake):
    rows = lake.read_arrow("identity.memberships").to_pylist()
    return {f"{r['source']}/{r['source_key']}": r["one_id"] for r in rows if r["valid_to"] is None}


def rows_of(lake, table):
    return lake.read_arrow(f"identity.{table}").to_pylist()


def row_of(lake, day):
    return next(r for r in rows_of(lake, "nights") if r["_arrived_on"] == day)


def hashes(lake, without=()):
    return {t: table_hash(lake.settings, t) for t in TABLES if t not in without}


def write_rules(lake, text):
    (lake.settings.workspace / "identity.yml").write_text(text, encoding="utf-8")


def said(lake, kind, a, b, minute=0):
    return decide(
        lake, kind, a, b, author="chen", reason="called them", decided_at=NOON + timedelta(minutes=minute)
    )


def test_a_decision_joins_from_the_next_night_on_and_its_revocation_parts_again(lake):
    night(lake, N1, [ZHANG, LI, APP, LONE])
    made = said(lake, "must_link", "web/7", "core/2")
    second = night(lake, N2, [ZHANG, LI, APP, LONE])
    assert (second.mode, second.touched_profiles) == ("changes", 2)
    assert people(lake)["web/7"] == people(lake)["core/2"]
    event = next(r for r in rows_of(lake, "lineage_events") if r["happened_on"] == N2)
    assert (event["event"], event["cause"]) == ("MERGE", "decision")
    revoke(lake, made.decision_id, author="chen", reason="mistaken", decided_at=NOON + timedelta(hours=1))
    night(lake, N3, [ZHANG, LI, APP, LONE])
    assert people(lake)["web/7"] != people(lake)["core/2"]
    assert {r["event"] for r in rows_of(lake, "lineage_events") if r["happened_on"] == N3} == {
        "RESURRECT",
        "SPLIT",
    }
    with pytest.raises(UsageError, match=r"no decision .* is in force"):
        revoke(lake, made.decision_id, author="chen", reason="again", decided_at=NOON)


def test_a_cannot_link_stands_above_every_link_and_is_told(lake):
    night(lake, N1, [ZHANG, APP])
    assert people(lake)["core/1"] == people(lake)["app/9"]
    made = said(lake, "cannot_link", "app/9", "core/1")
    night(lake, N2, [ZHANG, APP])
    assert people(lake)["core/1"] != people(lake)["app/9"]
    refused = [r for r in rows_of(lake, "refused_links") if r["rule"] == "cannot_link"]
    assert [(r["namespace"], r["reason"]) for r in refused] == [("phone", f"decision {made.decision_id}")]


def test_a_must_link_against_two_documents_is_a_conflict_to_look_at(lake):
    night(lake, N1, [ZHANG, LI])
    made = said(lake, "must_link", "core/1", "core/2")
    night(lake, N2, [ZHANG, LI])
    assert people(lake)["core/1"] != people(lake)["core/2"]
    (refused,) = [r for r in rows_of(lake, "refused_links") if r["rule"] == "must_link"]
    assert refused["namespace"] == "decision" and refused["identifier_id"] is None
    assert refused["reason"] == f"unique national_id: conflict with decision {made.decision_id}"


def test_words_that_cannot_be_meant_are_refused(lake):
    night(lake, N1, [ZHANG, LI])
    said(lake, "must_link", "core/1", "core/2")
    for wrong, words in [
        (("must_link", "core/2", "core/1"), "says so already"),
        (("cannot_link", "core/1", "core/2"), "revoke it first"),
        (("must_link", "core/1", "core/1"), "two different profiles"),
        (("must_link", "cor/1", "core/2"), "did you mean 'core'"),
        (("must_link", "core", "core/2"), "source/key"),
    ]:
        with pytest.raises(UsageError, match=words):
            said(lake, *wrong)
    with pytest.raises(UsageError, match="an author and a reason"):
        decide(lake, "must_link", "core/1", "core/2", author=" ", reason="x", decided_at=NOON)


def test_a_decision_about_a_record_that_is_not_there_waits_until_it_is(lake):
    night(lake, N1, [ZHANG, LI])
    made = said(lake, "must_link", "core/2", "web/7")
    assert waits(lake, made), "the source is like no other: it may come yet"
    night(lake, N2, [ZHANG, LI])
    assert people(lake) == {"core/1": people(lake)["core/1"], "core/2": people(lake)["core/2"]}
    third = night(lake, N3, [ZHANG, LI, LONE])
    assert third.mode == "changes"
    assert people(lake)["web/7"] == people(lake)["core/2"]
    assert not waits(lake, made)


def test_an_expired_link_says_on_which_day_and_only_its_component_is_decided(lake):
    write_rules(lake, "namespaces: {phone: {window_days: 10}}\n")
    dated = {"value": "13812340001", "on": date(2026, 11, 10)}
    records = [{**ZHANG, "phone": dated}, {**APP, "phone": {**dated, "on": date(2026, 11, 17)}}, LI, LONE]
    night(lake, N1, records)
    assert people(lake)["core/1"] == people(lake)["app/9"]
    third = night(lake, N3, records)
    assert (third.mode, third.touched_profiles) == ("changes", 2)
    assert people(lake)["core/1"] != people(lake)["app/9"]
    ended = [r for r in rows_of(lake, "links") if r["status"] == "expired" and r["valid_from"] == N3]
    assert [r["ended_on"] for r in ended] == [date(2026, 11, 20)]
    assert {r["cause"] for r in rows_of(lake, "lineage_events") if r["happened_on"] == N3} == {"time"}


@pytest.mark.slow
def test_a_recycled_number_becomes_owned_by_its_new_holder(lake):
    write_rules(lake, "namespaces: {phone: {when_exceeded: newest}}\n")
    old = {**ZHANG, "phone": {"value": "13812340001", "verified": False, "on": date(2015, 3, 1)}}
    new = {**LI, "phone": {"value": "13812340001", "on": date(2026, 6, 1)}}
    night(lake, N1, [old])
    night(lake, N2, [old, new])
    (state,) = rows_of(lake, "node_states")
    assert (state["state"], state["reason"], state["valid_from"]) == ("owned", "newest holder", N2)
    (link,) = [r for r in rows_of(lake, "links") if r["status"] == "expired"]
    assert link["ended_on"] == date(2026, 6, 1)
    night(lake, N3, [old])
    assert rows_of(lake, "node_states")[0]["valid_to"] == N3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "touched"),
    [
        ("namespaces: {phone: {block: {exact: ['13812340001']}}}\n", 2),
        ("namespaces: {phone: {fan_out: 1}}\n", 2),
        ("namespaces: {phone: {carriers: 1}}\n", 2),
        ("namespaces: {national_id: {unique: 2}}\n", 0),
        ("largest_person: {cut_above: 2, stop_above: 500}\n", 0),
        ("namespaces: {email: {kind: attribute}}\n", 1),
    ],
)
def test_a_changed_rule_decides_only_the_components_it_reaches(lake, rules, touched):
    night(lake, N1, [ZHANG, LI, APP, LONE])
    write_rules(lake, rules)
    second = night(lake, N2, [ZHANG, LI, APP, LONE])
    assert (second.mode, second.touched_profiles) == ("changes", touched)


def test_rules_about_names_reach_everybody_and_the_night_says_so(lake):
    night(lake, N1, [ZHANG, LI])
    write_rules(lake, "names: {legal_sources: [app]}\n")
    night(lake, N2, [ZHANG, LI])
    assert (row_of(lake, N2)["mode"], row_of(lake, N2)["mode_reason"]) == (
        "full",
        "'names' of the rules changed",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "cut_off", ["identity.components", "identity.memberships", "identity.lineage_events", "identity.one_ids"]
)
def test_an_attempt_that_died_between_the_dictionary_and_the_map_hands_nobodys_number_on(
    lake, monkeypatch, cut_off
):
    night(lake, N1, [ZHANG])
    deliver(lake, N2, [ZHANG, LI, APP])

    class Died(Exception):
        pass

    def dies(name):
        whole = getattr(Lake, name)

        def write(self, table, *rows, **more):
            if table == cut_off:
                raise Died
            return whole(self, table, *rows, **more)

        return write

    with monkeypatch.context() as broken:
        for name in ("overwrite", "change_states", "replace_partition"):
            broken.setattr(Lake, name, dies(name))
        with pytest.raises(Died):
            resolve(lake, N2)
    minted = {r["anchor_profile_id"]: r["one_id"] for r in rows_of(lake, "one_ids")}
    result = resolve(lake, N2)
    assert result.minted == 0
    assert {people(lake)[p] for p in ("core/1", "core/2")} == set(minted.values())
    deliver(lake, N2, [ZHANG, LONE])
    resolve(lake, N2)
    assert people(lake)["web/7"] not in minted.values(), "Li's number is not handed to a visitor"


def test_a_rebuild_from_nothing_but_the_dictionaries_gives_the_same_numbers(lake):
    night(lake, N1, [ZHANG, LI])
    night(lake, N2, [ZHANG, LI, APP, LONE])
    before = people(lake)
    for table in TABLES:
        if table.split(".")[1] not in ("nodes", "keys", "one_ids", "decisions"):
            lake.overwrite(table, pa.Table.from_pylist([], schema=contract(table).arrow_schema()))
    rebuilt = resolve(lake, N3)
    assert (rebuilt.mode, rebuilt.minted) == ("full", 0)
    assert people(lake) == before


@pytest.mark.slow
def test_a_full_night_gives_the_rows_of_a_partial_one(lake):
    night(lake, N1, [ZHANG, LI, APP])
    partial = night(lake, N2, [ZHANG, LI, {**APP, "phone": "13812340002"}, LONE])
    told = {t: lake.read_arrow(t) for t in TABLES}
    whole = resolve(lake, N2, full=True)
    assert (partial.mode, whole.mode, row_of(lake, N2)["mode_reason"]) == ("changes", "full", "asked for")
    for table in (
        "links",
        "memberships",
        "node_states",
        "refused_links",
        "one_ids",
        "redirects",
        "inheritances",
    ):
        assert frame_hash(told[f"identity.{table}"]) == table_hash(lake.settings, f"identity.{table}"), table


@pytest.mark.slow
def test_a_refused_night_that_was_taken_back_leaves_no_kind_of_person_behind(lake):
    night(lake, N1, [ZHANG, LONE])
    versions = {t: lake.version(t) for t in TABLES}
    night(lake, N2, [ZHANG, {**LONE, "kind": "customer"}])
    for table, version in versions.items():
        if table.split(".")[1] not in ("nodes", "keys", "one_ids", "decisions"):
            lake.restore(table, version)
    again = night(lake, N2, [ZHANG, LONE])
    assert (again.mode, again.touched_profiles) == ("changes", 0)
    kinds = {r["one_id"]: r["kind"] for r in rows_of(lake, "one_ids")}
    assert kinds[people(lake)["web/7"]] == "anonymous"
    assert night(lake, N3, [ZHANG, LONE]).mode == "changes"


@pytest.mark.slow
def test_a_replayed_night_leaves_the_row_it_left_before(lake):
    """Later nights have minted ids and changed kinds in the dictionary, which is not rewound."""
    rewound = [t for t in TABLES if t.split(".")[1] not in ("nodes", "keys", "one_ids", "decisions")]
    rewound += ["trusted.customers", "trusted.identifier_observations"]
    nights = {N1: [ZHANG, LONE], N2: [ZHANG, LONE, APP], N3: [ZHANG, {**LONE, "kind": "customer"}, LI]}
    before = {}
    for day, records in nights.items():
        before[day] = {t: lake.version(t) for t in rewound}
        night(lake, day, records)
    left = hashes(lake)
    for first in (N2, N1):
        for table, version in before[first].items():
            lake.restore(table, version)
        for day in [day for day in nights if day >= first]:
            night(lake, day, nights[day])
            assert row_of(lake, day)["mode"] == ("full" if day == N1 else "changes")
        differing = [rows_of(lake, t.split(".")[1]) for t in TABLES if hashes(lake)[t] != left[t]]
        assert differing == [], first


def test_one_bad_value_on_strangers_is_named_masked_and_nothing_is_written(lake):
    night(lake, N1, [ZHANG])
    before = hashes(lake)
    strangers = [{"id": f"core/{n}", "customer_no@core": "9000000001"} for n in range(10, 620)]
    with pytest.raises(GateStopped) as told:
        night(lake, N2, [ZHANG, *strangers])
    text = str(told.value)
    assert "610 profiles, at most 500 are allowed: customer_no@core" in text
    assert "joins 610 of them" in text and "9000000001" not in text
    assert hashes(lake) == before


@pytest.mark.slow
def test_the_gate_judges_how_stable_the_night_was(lake):
    night(lake, N1, [ZHANG])
    assert all(v.is_passed for v in check_tables(lake, "identity", ["identity.nights"], N1))
    row = row_of(lake, N1)
    quiet = {**row, "known_profiles": 10_000, "moved_quietly": 11}
    lake.replace_partition(
        "identity.nights",
        pa.Table.from_pylist([quiet], schema=contract("identity.nights").arrow_schema()),
        _arrived_on=N1,
    )
    check_tables(lake, "identity", ["identity.nights"], N1)
    for wrong, name in [
        ({"moved_quietly": 30}, "jitter"),
        ({"moved_untouched": 1}, "moved_untouched"),
        ({"violations": 1}, "violations"),
        ({"largest_growth": 101}, "largest_growth"),
        ({"uncovered": 1}, "uncovered"),
    ]:
        bad = pa.Table.from_pylist([quiet | wrong], schema=contract("identity.nights").arrow_schema())
        lake.replace_partition("identity.nights", bad, _arrived_on=N1)
        with pytest.raises(GateStopped, match=name):
            check_tables(lake, "identity", ["identity.nights"], N1)


@pytest.mark.slow
def test_a_record_that_is_in_no_map_and_joins_that_go_missing_are_counted(lake, monkeypatch):
    night(lake, N1, [ZHANG, APP, LI])
    row = row_of(lake, N1)
    assert (row["uncovered"], row["joined_profiles"], row["joined_share_lost"]) == (0, 2, 0.0)
    night(lake, N2, [ZHANG, {**APP, "phone": "0086-not-a-number"}, LI])
    row = row_of(lake, N2)
    assert (row["uncovered"], row["joined_profiles"], row["joined_share_lost"]) == (0, 0, 0.666667)
    verdicts = check_tables(lake, "identity", ["identity.nights"], N2)
    assert [v.bound.name for v in verdicts if not v.is_passed] == ["joined_share_lost"], "a warning, no stop"
    whole = lake.change_states

    def loses_one(table, rows, **more):
        kept = rows.slice(0, rows.num_rows - 1) if table == "identity.memberships" else rows
        whole(table, kept, **more)

    monkeypatch.setattr(lake, "change_states", loses_one)
    night(lake, N3, [ZHANG, APP, LI, LONE])
    assert row_of(lake, N3)["uncovered"] == 1
    with pytest.raises(GateStopped, match="uncovered"):
        check_tables(lake, "identity", ["identity.nights"], N3)


def test_a_night_without_a_key_writes_nothing(lake, monkeypatch):
    monkeypatch.delenv("CDP_SECRET_IDENTITY_KEY")
    (lake.settings.workspace / "cdp.yml").write_text("generate_secrets: false\n", encoding="utf-8")
    other = Lake(load_settings(lake.settings.workspace))
    deliver(other, N1, [ZHANG])
    before = hashes(other)
    with pytest.raises(SettingsInvalid, match="identity_key"):
        resolve(other, N1)
    assert hashes(other) == before


@pytest.mark.parametrize("nights", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_nobody_moves_quietly_over_nights_of_small_changes(lake, nights):
    rng = np.random.default_rng(5)
    records = [
        {"id": f"core/{n}", "customer_no@core": f"c{n}", "phone": f"138{12340000 + n}"} for n in range(40)
    ] + [{"id": f"app/{n}", "app_user_id@app": f"u{n}", "phone": f"138{12340000 + n}"} for n in range(25)]
    for step in range(nights):
        changed = int(rng.integers(len(records)))
        records[changed] = {**records[changed], "phone": f"138{12340000 + int(rng.integers(60))}"}
        night(lake, N1 + timedelta(days=step), records)
    rows = sorted(rows_of(lake, "nights"), key=lambda r: r["_arrived_on"])
    assert [r["mode"] for r in rows] == ["full"] + ["changes"] * (nights - 1)
    assert sum(r["moved_untouched"] for r in rows) == 0
    assert max(r["touched_profiles"] for r in rows[1:]) < 20


@pytest.mark.slow
def test_a_record_that_comes_back_brings_the_other_end_of_its_decision_along(lake):
    night(lake, N1, [ZHANG, LI, LONE])
    said(lake, "must_link", "web/7", "core/2")
    night(lake, N2, [ZHANG, LI])
    third = night(lake, N3, [ZHANG, LI, LONE])
    assert (third.mode, third.touched_profiles) == ("changes", 2)
    assert people(lake)["web/7"] == people(lake)["core/2"]


@pytest.mark.slow
def test_a_value_that_falls_below_its_limit_joins_those_who_are_left(lake):
    write_rules(lake, "namespaces: {phone: {carriers: 2}}\n")
    visitor = {"id": "web/8", "kind": "anonymous", "phone": "13812340001"}
    night(lake, N1, [ZHANG, APP, visitor])
    assert len(set(people(lake).values())) == 3
    second = night(lake, N2, [ZHANG, APP, {**visitor, "phone": "13812340009"}])
    assert (second.mode, second.touched_profiles) == ("changes", 3)
    assert people(lake)["core/1"] == people(lake)["app/9"] != people(lake)["web/8"]
    night(lake, N3, [ZHANG, APP, visitor])
    assert len(set(people(lake).values())) == 3
