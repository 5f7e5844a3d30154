"""Numbers over nights of a lake: loosened and tightened rules, decisions, and published nights that are run again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_records import deliver, publish
from memory_lake import MemoryLake

from identity import resolve
from identity.explaining.changes import changes_since
from identity.reading.decisions import decide, decisions_of, revoke
from identity.reading.tables import open_desk
from lakehouse.errors import UsageError

FIRST = date(2026, 11, 18)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
LOOSE = "namespaces: {email: {kind: account, unique: 9}}\n"
# One mailbox: under the shipped rules it is of three people, and joins nobody.
MAILBOX = "office@example.org"
CHEN = {"id": "core/1", "name": "陈晨", "national_id": "110105198503121015", "email": MAILBOX}
LIN = [
    {"id": "shop/1", "name": "林涛", "loyalty_no@shop": "m1", "email": MAILBOX},
    {"id": "shop/2", "name": "林涛", "loyalty_no@shop": "m1"},
]
SHOP = "namespaces: {'loyalty_no@shop': {kind: account, normaliser: exact, strength: 70}}\n"
SHOP_LOOSE = "namespaces: {'loyalty_no@shop': {kind: account, normaliser: exact, strength: 70}, email: {kind: account, unique: 9}}\n"


class Seen(SimpleNamespace):
    """What readers see of a lake in memory: every table as it is now."""

    def __init__(self, lake, day):
        desk = open_desk(lake, day)
        super().__init__(
            publication=SimpleNamespace(tables=dict.fromkeys(lake.rows, 0)), let=desk.let, rows=desk.rows
        )


def numbers(lake):
    rows = lake.read_arrow("identity.memberships").to_pylist()
    return {f"{r['source']}/{r['source_key']}": r["one_id"] for r in rows if r["valid_to"] is None}


def events(lake, day, *, corrects):
    rows = lake.read_arrow("identity.lineage_events").to_pylist()
    return sorted(
        (r["event"], r["from_one_id"], r["to_one_id"], r["profile_count"], r["cause"])
        for r in rows
        if r["happened_on"] == day and (r["corrects"] is not None) == corrects
    )


def redirects(lake):
    return {r["from_one_id"]: r["to_one_id"] for r in lake.read_arrow("identity.redirects").to_pylist()}


def night(lake, day, records, *, rules=None, visible=True):
    if rules is not None:
        (lake.settings.workspace / "identity.yml").write_text(rules, encoding="utf-8")
    deliver(lake, day, records)
    result = resolve(lake, day)
    if visible:
        publish(lake, day)
    return result


def test_after_a_loosened_night_the_old_rules_give_the_old_numbers(tmp_path):
    """The lighter part had the number first; by weight alone the heavier one would come back with it."""
    lake, days = MemoryLake(tmp_path), [FIRST + timedelta(days=n) for n in range(3)]
    night(lake, days[0], [CHEN, *LIN], rules=SHOP)
    before = numbers(lake)
    assert len(set(before.values())) == 2
    night(lake, days[1], [CHEN, *LIN], rules=SHOP_LOOSE)
    assert set(numbers(lake).values()) == {before["core/1"]}, "the document's number survives"
    newcomer = {"id": "shop/3", "name": "林涛", "loyalty_no@shop": "m1"}
    night(lake, days[2], [CHEN, *LIN, newcomer], rules=SHOP)
    assert numbers(lake) == before | {"shop/3": before["shop/1"]}
    assert redirects(lake) == {}
    assert [e[0] for e in events(lake, days[2], corrects=False)] == ["RESURRECT", "SPLIT"]


def test_a_decision_after_publication_leaves_a_trace_of_every_published_number(tmp_path):
    lake = MemoryLake(tmp_path)
    night(lake, FIRST, [CHEN, *LIN], rules=SHOP)
    published = numbers(lake)
    decide(lake, "must_link", "core/1", "shop/1", author="chen", reason="one person", decided_at=NOON)
    night(lake, FIRST, [CHEN, *LIN])
    chen, lin = published["core/1"], published["shop/1"]
    assert set(numbers(lake).values()) == {chen}
    assert events(lake, FIRST, corrects=True) == [("MERGE", lin, chen, 2, "decision")]
    assert redirects(lake) == {lin: chen}
    status = {
        r["one_id"]: (r["status"], r["successor"]) for r in lake.read_arrow("identity.one_ids").to_pylist()
    }
    assert status[lin] == ("merged", chen)
    assert changes_since(Seen(lake, FIRST), FIRST) == [
        (FIRST, "shop", "1", lin, chen, "MERGE", "decision"),
        (FIRST, "shop", "2", lin, chen, "MERGE", "decision"),
    ]
    once = {name: rows for name, rows in lake.rows.items() if name.startswith("identity.")}
    resolve(lake, FIRST)
    assert {n: lake.rows[n].num_rows for n in once} == {n: rows.num_rows for n, rows in once.items()}
    made = decisions_of(lake.read_arrow("identity.decisions").to_pylist())[0]
    revoke(lake, made.decision_id, author="chen", reason="mistaken", decided_at=NOON + timedelta(hours=1))
    night(lake, FIRST, [CHEN, *LIN])
    assert numbers(lake) == published, "the old decisions give the old numbers, also within one night"
    told = changes_since(Seen(lake, FIRST), FIRST)
    assert [row[3:6] for row in told if row[2] == "2"] == [(lin, chen, "MERGE"), (chen, lin, "SPLIT")]
    assert redirects(lake) == {}


def test_a_record_that_a_corrected_file_takes_away_ends_its_published_number(tmp_path):
    lake = MemoryLake(tmp_path)
    night(lake, FIRST, [CHEN, *LIN], rules=SHOP)
    published = numbers(lake)
    night(lake, FIRST, [CHEN])
    assert events(lake, FIRST, corrects=True) == [("RETIRE", published["shop/1"], None, 2, "links")]
    assert {row[5] for row in changes_since(Seen(lake, FIRST), FIRST)} == {"RETIRE"}
    night(lake, FIRST, [CHEN, LIN[1]])
    assert numbers(lake)["shop/2"] == published["shop/1"], "it is given back to who was published with it"


def test_a_number_that_no_reader_has_seen_is_created_and_not_resurrected(tmp_path, monkeypatch):
    """An attempt of the second night minted a number and was cut off before its map; the third night finds it."""
    lake, second, third = MemoryLake(tmp_path), FIRST + timedelta(days=1), FIRST + timedelta(days=2)
    night(lake, FIRST, [CHEN], rules=SHOP)
    deliver(lake, second, [CHEN, *LIN])

    def die(*_, **__):
        raise RuntimeError("the machine dies here")

    whole = lake.change_states
    monkeypatch.setattr(lake, "change_states", die)
    with pytest.raises(RuntimeError):
        resolve(lake, second)
    monkeypatch.setattr(lake, "change_states", whole)
    minted = set(lake.read_arrow("identity.one_ids")["one_id"].to_pylist()) - set(numbers(lake).values())
    night(lake, third, [CHEN, *LIN])
    assert {numbers(lake)["shop/1"]} == minted
    assert events(lake, third, corrects=False) == [("CREATE", None, minted.pop(), 2, "links")]


RULES = ["{}\n", LOOSE, "namespaces: {phone: {kind: account, unique: 9}}\n", "namespaces: {phone: {kind: attribute}}\n",
         "namespaces: {national_id: {unique: 9}, email: {kind: account, unique: 9}, phone: {kind: account, unique: 9}}\n"]  # fmt: skip
KEYS = ["core/1", "core/2", "crm/1", "crm/2", "app/1", "web/1"]
record = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["张伟", "李娜"]),
        "national_id": st.sampled_from(["110105198503121015", "110105198706250028"]),
        "phone": st.sampled_from(["13812340001", "13812340002"]),
        "email": st.sampled_from(["a@example.org", "b@example.org"]),
        "app_user_id@app": st.sampled_from(["u1", "u2"]),
    },
)
word = st.tuples(
    st.sampled_from(["must_link", "cannot_link", "revoke"]), st.sampled_from(KEYS), st.sampled_from(KEYS)
)
steps = st.lists(
    st.fixed_dictionaries(
        {"rules": st.sampled_from(RULES), "words": st.lists(word, max_size=1), "again": st.booleans()}
    ),
    min_size=2,
    max_size=5,
)


def say(lake, kind, a, b, minute):
    at = NOON + timedelta(minutes=minute)
    try:
        if kind == "revoke":
            known = decisions_of(lake.read_arrow("identity.decisions").to_pylist())
            if known:
                revoke(lake, known[0].decision_id, author="chen", reason="wrong", decided_at=at)
        else:
            decide(lake, kind, a, b, author="chen", reason="called them", decided_at=at)
    except UsageError:
        pass


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(records=st.dictionaries(st.sampled_from(KEYS), record, min_size=4), history=steps)
def test_over_rules_decisions_and_reruns_old_people_have_their_old_numbers(records, history, tmp_path):
    """After every publication, over any loosening, tightening, decisions and reruns of the newest night:

    a night of the same people as an earlier one gives them the same numbers; a number shares a record with those it named
    before; a number that readers have seen and that is gone has a lineage row that ends it, and a redirect where it merged.
    """
    lake, day, minute, seen, published = MemoryLake(tmp_path), FIRST, 0, {}, {}
    delivered = [{"id": key, **values} for key, values in records.items()]
    for step in history:
        day += timedelta(days=0 if step["again"] and seen else 1)
        for kind, a, b in step["words"]:
            minute += 1
            say(lake, kind, a, b, minute)
        night(lake, day, delivered, rules=step["rules"])
        now = numbers(lake)
        people = {frozenset(r for r in now if now[r] == number): number for number in now.values()}
        assert seen.setdefault(frozenset(people), people) == people
        for records_of_number, number in people.items():
            assert records_of_number & published.setdefault(number, set(records_of_number))
            published[number] |= records_of_number
        leads = redirects(lake)
        ends = {
            r["from_one_id"]
            for r in lake.read_arrow("identity.lineage_events").to_pylist()
            if r["event"] in ("MERGE", "RETIRE")
        }
        for number in published.keys() - set(now.values()):
            assert number in ends, "a published number that is gone has a lineage row"
            assert leads[number] in now.values()
        alive = set(now.values())
        assert alive.isdisjoint(leads)
