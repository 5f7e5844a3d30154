"""A night that decides what changed gives what deciding everything gives, whatever the history before it.

Histories are drawn: records come, change and go; values are blocked and free again, limits rise and fall, windows end,
children come of age, names become common, values pass limits and fall below them, decisions are made and taken back, attempts are
repeated with other files or cut off. After every night the tables equal those of a full run on the same dictionaries,
and the grouping equals that of an empty lake that is given the same records once, in another order; a lake that kept
nothing but its dictionaries gives everybody the same number again.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_records import deliver
from memory_lake import MemoryLake

from identity import resolve
from identity.reading import facts
from identity.reading.decisions import decide, decisions_of, revoke
from lakehouse.errors import UsageError

FIRST = date(2026, 11, 18)
PROFILES = ["core/1", "core/2", "core/3", "crm/1", "crm/2", "app/1", "app/2", "web/1", "web/2"]
POOLS = {
    "name": ["张伟", "李娜", "王芳"],
    "national_id": ["110105198503121015", "110105198706250028", "320106199002280050"],
    "passport": ["E12345678", "E87654321"],
    "born": [date(2012, 11, 19), date(2012, 11, 20), date(1985, 3, 12)],
    "customer_no@core": ["c1", "c2", "c3"],
    "app_user_id@app": ["u1", "u2"],
    "phone": ["13812340001", "13812340002", "13812340003"],
    "email": ["a@example.org", "b@example.org"],
    "device_id": ["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "kiosk-0001-branch"],
}
RULES = [
    "{}",
    "namespaces: {phone: {fan_out: 1}}",
    "namespaces: {phone: {carriers: 2}, email: {carriers: 1}, device_id: {carriers: 1}}",
    "namespaces: {phone: {carriers: 3}, device_id: {carriers: 2}}",
    "namespaces: {phone: {block: {exact: ['13812340001']}}, email: {block: {patterns: ['^a@']}}}",
    "namespaces: {phone: {when_exceeded: newest, window_days: 322}}",
    "namespaces: {phone: {window_days: 323}, device_id: {when_exceeded: last}}",
    "namespaces: {'app_user_id@app': {unique: 1}, 'customer_no@core': {unique: 1}}",
    "never_merge: [{source: crm}, {namespace: email}]",
    "namespaces: {phone: {strength: 40}, national_id: {unique: 2}}",
    "largest_person: {cut_above: 2, stop_above: 500}",
    "namespaces: {phone: {kind: attribute}}",
    "disagree: []",
    "golden: {by: [most_recent], attributes: {full_name: [most_frequent], birth_date: []}}",
]
# What a partial and a full night must agree in; `computed_on` and causes tell how it was done.
COMPARED = {
    "memberships": (), "links": (), "node_states": (), "components": ("computed_on",), "refused_links": (),
    "one_ids": (), "redirects": (), "inheritances": (), "nodes": (), "lineage_events": ("cause",), "golden_records": (),
}  # fmt: skip
DICTIONARIES = {"identity.nodes", "identity.keys", "identity.one_ids", "identity.decisions"}


def values(namespace):
    drawn = st.sampled_from(POOLS[namespace])
    if namespace in ("name", "born"):
        return drawn
    body = st.fixed_dictionaries(
        {"value": drawn, "verified": st.booleans(), "on": st.sampled_from([date(2026, 1, 1), date(2026, 1, 2), date(2026, 6, 1)])}
    )  # fmt: skip
    return st.lists(body, min_size=1, max_size=2, unique_by=lambda b: b["value"])


records = st.fixed_dictionaries({}, optional={name: values(name) for name in POOLS})
words = st.tuples(
    st.sampled_from(["must_link", "cannot_link", "revoke"]),
    st.sampled_from(PROFILES),
    st.sampled_from(PROFILES),
)
nights = st.fixed_dictionaries(
    {
        "changes": st.dictionaries(st.sampled_from(PROFILES), st.none() | records, max_size=4),
        "attempt": st.none() | st.dictionaries(st.sampled_from(PROFILES), st.none() | records, max_size=2),
        "cut_off": st.sampled_from([None, None, "identity.components", "identity.links", "identity.memberships", "identity.nights"]),
        "rules": st.none() | st.sampled_from(RULES),
        "words": st.lists(words, max_size=2),
        "skipped": st.integers(0, 1),
    }
)  # fmt: skip
histories = st.tuples(
    st.dictionaries(st.sampled_from(PROFILES), records, min_size=3), st.lists(nights, min_size=1, max_size=4)
)


class CutOff(Exception):
    """The machine dies here."""


def run_attempt(lake, day, cut_off):
    """Run a night; where it is cut off, the write of that table never happens."""
    if cut_off is None:
        return resolve(lake, day)
    for name in ("overwrite", "change_states", "replace_partition"):
        whole = getattr(lake, name)

        def write(table, rows, _whole=whole, **more):
            if table == cut_off and (table != "identity.nights" or rows.num_rows):
                raise CutOff
            return _whole(table, rows, **more)

        setattr(lake, name, write)
    try:
        return resolve(lake, day)
    except CutOff:
        return None
    finally:
        for name in ("overwrite", "change_states", "replace_partition"):
            delattr(lake, name)


def say(lake, kind, a, b, minute):
    at = datetime(2026, 11, 18, tzinfo=UTC) + timedelta(minutes=minute)
    try:
        if kind == "revoke":
            known = decisions_of(lake.read_arrow("identity.decisions").to_pylist())
            if known:
                revoke(lake, known[0].decision_id, author="chen", reason="wrong", decided_at=at)
        else:
            decide(lake, kind, a, b, author="chen", reason="called them", decided_at=at)
    except UsageError:
        pass


def delivered(state):
    return [{"id": key, **record} for key, record in state.items() if record is not None]


def content(lake):
    found = {}
    for name, without in COMPARED.items():
        rows = lake.read_arrow(f"identity.{name}").to_pylist()
        found[name] = sorted(repr({k: v for k, v in row.items() if k not in without}) for row in rows)
    return found


def people(lake):
    groups = {}
    for row in lake.read_arrow("identity.memberships").to_pylist():
        if row["valid_to"] is None:
            groups.setdefault(row["one_id"], set()).add(f"{row['source']}/{row['source_key']}")
    return {frozenset(group) for group in groups.values()}


def numbers(lake):
    rows = lake.read_arrow("identity.memberships").to_pylist()
    return {f"{r['source']}/{r['source_key']}": r["one_id"] for r in rows if r["valid_to"] is None}


def copy_with_buckets(lake):
    """A copy that decides in buckets of two observations."""
    other = MemoryLake(lake.settings.workspace, bucket_rows=2)
    other.rows = dict(lake.rows)
    return other


def run_beside(lake, in_buckets, day, records, cut_off):
    """Run an attempt of a night at once and in buckets, to the same end."""
    for one in (lake, in_buckets):
        deliver(one, day, records)
        run_attempt(one, day, cut_off)


def whole_content(lake):
    """Every row of every table of identity, all columns, in an order of their own."""
    return {
        name: sorted(map(repr, rows.to_pylist()))
        for name, rows in lake.rows.items()
        if name.startswith("identity.")
    }


def check_history(history, folder):
    state, later = dict(history[0]), history[1]
    (folder / "identity.yml").write_text("{}\n", encoding="utf-8")
    lake, day, minute, partial = MemoryLake(folder), FIRST, 0, 0
    beside = MemoryLake(folder, bucket_rows=2)
    run_beside(lake, beside, day, delivered(state), None)
    for night in later:
        day += timedelta(days=1 + night["skipped"])
        if night["rules"] is not None:
            (folder / "identity.yml").write_text(night["rules"] + "\n", encoding="utf-8")
        for kind, a, b in night["words"]:
            minute += 1
            say(lake, kind, a, b, minute)
        beside.rows["identity.decisions"] = lake.read_arrow("identity.decisions")
        if night["attempt"] is not None:
            run_beside(lake, beside, day, delivered({**state, **night["attempt"]}), night["cut_off"])
        state = {**state, **night["changes"]}
        for one in (lake, beside):
            deliver(one, day, delivered(state))
        whole, whole_in_buckets = lake.copy(), copy_with_buckets(lake)
        result = resolve(lake, day)
        partial += result.mode == "changes"
        assert resolve(beside, day).summary() == result.summary()
        assert whole_content(beside) == whole_content(lake), "what is reached, bucket by bucket"
        resolve(whole, day, full=True)
        assert content(lake) == content(whole)
        resolve(whole_in_buckets, day, full=True)
        assert whole_content(whole_in_buckets) == whole_content(whole), "everybody again, bucket by bucket"
        before = content(lake)
        # Of both: after a whole attempt the row of a rerun no longer says that one was cut off.
        assert [resolve(one, day).minted for one in (lake, beside)] == [0, 0]
        assert content(lake) == before, "a rerun changes nothing"
        assert whole_content(beside) == whole_content(lake), "a rerun, bucket by bucket"
        fresh = MemoryLake(folder)
        fresh.rows["identity.decisions"] = lake.read_arrow("identity.decisions")
        deliver(fresh, day, delivered(state)[::-1])
        in_buckets = copy_with_buckets(fresh)
        resolve(fresh, day)
        assert people(fresh) == people(lake)
        if night is later[-1]:
            resolve(in_buckets, day)
            assert whole_content(in_buckets) == whole_content(fresh), "a first night bucket by bucket"
        rebuilt = MemoryLake(folder)
        rebuilt.rows = {
            n: rows for n, rows in lake.rows.items() if n.startswith("trusted.") or n in DICTIONARIES
        }
        in_buckets = copy_with_buckets(rebuilt)
        assert resolve(rebuilt, day).minted == 0
        if night is later[-1]:
            resolve(in_buckets, day)
            assert whole_content(in_buckets) == whole_content(rebuilt), (
                "numbers are found again bucket by bucket"
            )
        assert numbers(rebuilt) == numbers(lake), (
            "the dictionaries are enough to give everybody the same number"
        )
        row = next(r for r in lake.read_arrow("identity.nights").to_pylist() if r["_arrived_on"] == day)
        assert (row["violations"], row["moved_untouched"]) == (0, 0)
    return partial


@pytest.fixture(autouse=True)
def names_are_soon_common(monkeypatch):
    monkeypatch.setattr(facts, "LEAST_COMMON", 3)


quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


ONLY_TAKEN_AWAY = {"changes": {}, "attempt": {"core/1": None}, "cut_off": "identity.links", "rules": None, "words": [], "skipped": 0}  # fmt: skip


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=quiet, derandomize=True)
@hypothesis.example(history=({"core/1": {}, "core/2": {}, "core/3": {}}, [ONLY_TAKEN_AWAY]))
@given(history=histories)
def test_any_history_gives_what_a_full_rebuild_gives(history, tmp_path):
    check_history(history, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_sixty_histories_give_what_full_rebuilds_give(seed, tmp_path):
    @hypothesis.seed(seed)
    @settings(max_examples=30, deadline=None, suppress_health_check=quiet, database=None)
    @given(history=histories)
    def check(history):
        check_history(history, tmp_path)

    check()


def test_a_record_that_returns_after_a_rebuild_is_not_given_a_number_somebody_holds(tmp_path):
    """The number was minted for the record; without the old map only the dictionary knows, and others hold it now."""
    two = [{"id": "app/1", "app_user_id@app": "u1"}, {"id": "app/2", "app_user_id@app": "u1"}]
    lake = MemoryLake(tmp_path)
    deliver(lake, FIRST, two)
    resolve(lake, FIRST)
    deliver(lake, FIRST + timedelta(days=1), two[1:])
    resolve(lake, FIRST + timedelta(days=1))
    held = numbers(lake)["app/2"]
    assert lake.read_arrow("identity.one_ids")["one_id"].to_pylist() == [held], (
        "minted for app/1, kept by app/2"
    )
    rebuilt = MemoryLake(tmp_path)
    rebuilt.rows = {n: rows for n, rows in lake.rows.items() if n.startswith("trusted.") or n in DICTIONARIES}
    resolve(rebuilt, FIRST + timedelta(days=1))
    deliver(rebuilt, FIRST + timedelta(days=2), [{"id": "app/1", "app_user_id@app": "u7"}, two[1]])
    result = resolve(rebuilt, FIRST + timedelta(days=2))
    assert (result.mode, result.minted) == ("changes", 1)
    assert numbers(rebuilt) == {"app/1": held + 1, "app/2": held}
