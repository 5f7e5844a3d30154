"""Random companies and households: the compiled SQL chooses and addresses whom a second evaluator in plain Python does."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rules import Bank, Belonging, addressee_of, entity_answer
from segment_bank import at, rows_of, spec
from test_segment_populations import (
    COUNTS,
    MONEY,
    PEOPLE,
    TAG_ROWS,
    TAGS,
    UNHURRIED,
    VALIDITY,
    D,
    joined,
    leaves_of,
    near,
    optional,
)

from lakehouse.query.desk import open_alone
from segments.choosing.decide import _choose
from segments.choosing.leaf_tables import translated_sql
from vocabulary.contact_rules import lake_place
from vocabulary.relations import entity_people_sql

PERSONS = st.fixed_dictionaries(
    {
        # Mostly people who count, so that what they answer is seen.
        "kind": st.sampled_from(["customer"] * 9 + ["prospect", "anonymous"]),
        "born": st.sampled_from([dt.date(1980, 1, 1)] * 12 + [dt.date(2020, 1, 1), None]),
        "is_dead": st.sampled_from([False] * 15 + [True]),
        "consent": st.sampled_from(["GRANT"] * 8 + ["REFUSE", None, None]),
        "refused_profiling": st.sampled_from([False] * 15 + [True]),
        "has_phone": st.sampled_from([True, True, False]),
    }
)
TIES = st.builds(
    lambda kind, person, end, valid, start, stop: {
        "relationship_type": kind, "from_source": "core", "from_key": f"c{person}", "to_source": end[0], "to_key": end[1],
        "role": "member", "valid_from": valid[0], "valid_to": valid[1], "started_on": start, "ended_on": stop,
    },
    st.sampled_from(["person_company", "person_household"]), st.sampled_from([*PEOPLE, *PEOPLE, 99]),
    st.sampled_from([("credit_code", "91A"), ("credit_code", " 91a"), ("credit_code", "91A"), ("credit_code", " "),
                     ("core", "H1"), ("crm", "H1"), ("core", "c2")]),
    VALIDITY, st.one_of(st.none(), st.none(), near(-3, 1)), st.sampled_from([None] * 6 + [D, D + dt.timedelta(days=1)]),
)  # fmt: skip
SUMS = st.builds(
    lambda name, tag, wish: {name: {"of": tag, **wish}},
    st.sampled_from(["sum", "min", "max"]),
    st.sampled_from(["balance", "days_left"]),
    st.sampled_from([{"gte": 50}, {"lt": 50}, {"between": [10, 60.5]}, {"eq": 0}]),
)
ASKED = st.one_of(
    TAGS, TAGS.map(lambda tag: {"not": tag}), st.lists(TAGS, min_size=2, max_size=2).map(lambda parts: {"any": parts}),
    st.just({"sample": {"percent": 40}}), st.just({"tag": "balance", "top_n": 2, "within": "all"}),
)  # fmt: skip
MEMBERS = joined(
    st.one_of(
        joined(
            optional("where", ASKED),
            st.one_of(COUNTS.map(lambda c: {"count": c}), st.booleans().map(lambda b: {"any": b}), SUMS),
        ).map(lambda body: {"members": body})
    ),
    optional("include_unknown", st.booleans()),
)
RULES = st.recursive(
    MEMBERS,
    lambda part: st.one_of(
        part.map(lambda p: {"not": p}),
        st.lists(part, min_size=1, max_size=3).map(lambda ps: {"all": ps}),
        st.lists(part, min_size=1, max_size=3).map(lambda ps: {"any": ps}),
    ),
    max_leaves=4,
)
ADDRESSEES = joined(
    st.sampled_from([{"highest": "balance"}, {"lowest": "balance"}, {"highest": "days_left"}, {"prefer": {"tag": "is_active", "eq": True}}]),
    optional("prefer", st.just({"tag": "tier", "ne": "T3"})), optional("where", st.just({"tag": "tier", "in": ["T1", "T3"]})),
)  # fmt: skip


def reason_of(person):
    """The one reason against a person, in the order of suppression."""
    refuses = person["refused_profiling"] or person["consent"] == "REFUSE"
    reasons = {
        "NOT_ELIGIBLE_KIND": person["kind"] == "anonymous",
        "DECEASED": person["is_dead"],
        "MINOR": person["born"] is not None and person["born"].year > 2008,
        "AGE_UNKNOWN": person["born"] is None,
        "OPT_OUT": refuses,
        "NO_CONSENT": person["consent"] is None,
        "UNREACHABLE": not person["has_phone"],
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def belonging_of(entity, ties, persons):
    """Whom each company or household has on the day, by the words of the contract."""
    people = {}
    for tie in ties:
        holds = tie["valid_from"] <= D and (tie["valid_to"] is None or tie["valid_to"] > D)
        holds &= tie["started_on"] is None or tie["started_on"] <= D
        holds &= tie["ended_on"] is None or tie["ended_on"] > D
        source, key = tie["to_source"], tie["to_key"].strip()
        if tie["relationship_type"] != f"person_{entity}" or not holds or not key:
            continue
        name = key.upper() if source == "credit_code" else f"{source}/{key}"
        ends = [tie["from_key"]] + ([key] if entity == "household" and source == "core" else [])
        found = {n for n in PEOPLE if f"c{n}" in ends}
        if found:
            people.setdefault(name, set()).update(found)
    return Belonging(people, {n: reason_of(person) for n, person in persons.items()})


@st.composite
def banks(draw):
    persons = {n: draw(PERSONS) for n in PEOPLE}
    ties = draw(st.lists(TIES, min_size=6, max_size=14))
    core = {"source": "core"}
    tables = {
        "trusted.relationships": [core | tie for tie in ties],
        "identity.memberships": [{"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in PEOPLE],
        "identity.one_ids": [{"one_id": n, "kind": p["kind"]} for n, p in persons.items()],
        "trusted.customers": [
            core | {"source_key": f"c{n}", "kind": "customer", "birth_date": p["born"], "deceased_on": D if p["is_dead"] else None}
            for n, p in persons.items()
        ],
        "trusted.consents": [
            core | {"source_key": f"c{n}", "purpose": "marketing", "channel": "ALL", "decision": p["consent"], "decided_at": at("2026-01-01")}
            for n, p in persons.items() if p["consent"]
        ] + [
            core | {"source_key": f"c{n}", "purpose": "profiling", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-01-01")}
            for n, p in persons.items() if p["refused_profiling"]
        ],
        "trusted.identifier_observations": [
            core | {"source_key": f"c{n}", "namespace": "phone", "value": f"1380000{n:04d}", "role": "identity"}
            for n, p in persons.items() if p["has_phone"]
        ],
    }  # fmt: skip
    people = {n: {"one_id": n, **draw(TAG_ROWS), "balance": draw(MONEY)} for n in PEOPLE}
    return Bank(D, people, {("core", f"c{n}"): n for n in PEOPLE}, tables), ties, persons


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("entities")


@pytest.mark.slow
@settings(max_examples=12, **UNHURRIED)
@given(
    banks(),
    st.lists(
        st.tuples(
            st.sampled_from(["company", "household"]),
            RULES,
            ADDRESSEES,
            st.sampled_from(["exclude", "include"]),
        ),
        min_size=4,
        max_size=4,
    ),
)
def test_an_entity_is_chosen_and_addressed_as_plain_python_does(folder, drawn, segments):
    for entity, rule, addressee, unknown in segments:
        assert_same_choice(folder, drawn, entity, rule, addressee, unknown)


def assert_same_choice(folder, drawn, entity, rule, addressee, unknown):
    """The product chooses, addresses and suppresses whom plain Python does, and has as many unknown answers."""
    bank, ties, persons = drawn
    belonging = belonging_of(entity, ties, persons)
    answers = {key: entity_answer(rule, key, belonging, bank) for key in belonging.people}
    chosen = [key for key, answer in answers.items() if answer or (answer is None and unknown == "include")]
    expected = {}
    for key in sorted(chosen):
        person = addressee_of(addressee, key, belonging, bank)
        if person is not None:
            expected.setdefault(person, (belonging.reasons[person], []))[1].append(key)
    body = f"unknown: {unknown}\naddressee: {json.dumps(addressee)}\nwhere: {json.dumps(rule)}"
    text = spec("x", body).replace("entity: customer", f"entity: {entity}")
    with open_alone("Asia/Shanghai", threads=1) as desk:
        segment, leaves = leaves_of(desk, folder, bank, text)
        relations = {
            "trusted.relationships": desk.lend("ties", rows_of("trusted.relationships", bank.tables["trusted.relationships"])),
            "persons": desk.lend("persons", rows_of("identity.memberships", bank.tables["identity.memberships"])),
        }  # fmt: skip
        people_of = desk.keep("people", translated_sql(entity_people_sql(entity, lake_place(D)), relations))
        choice = _choose(desk, segment, None, leaves, leaves, {}, people_of)
        rows = desk.rows(f"SELECT one_id, reason, companies FROM ({choice.people})")
        assert ({n: (reason, keys) for n, reason, keys in rows}, choice.unknown) == (
            expected,
            sum(answer is None for answer in answers.values()),
        )
