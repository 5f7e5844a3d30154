"""Consent, receipts, controls and addresses: the facts suppression rests on, drawn as tables; no Spark."""

from __future__ import annotations

import datetime as dt

import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    read_tags,
    rows_of,
    spec,
    tag_contracts,
    write_tags,
)

from lakehouse.errors import SettingsInvalid
from lakehouse.query.desk import open_alone
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments.choosing.compile import compile_leaf_table
from segments.choosing.leaf_tables import duckdb_sql, leaves_by_duckdb
from segments.language.spec import read_segment
from vocabulary.contact_rules import lake_place, profiling_refusals_sql
from vocabulary.policy import ChannelRule, Policy, PurposeRule, UnknownAge, read_policy


@pytest.fixture
def facts_of(make_workspace):
    """A function from drawn rows to ``{one_id: facts}``; person n is profile (core, cn)."""
    folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML})
    lake = open_lake(load_settings(folder), contracts=tag_contracts())
    write_tags(lake, read_tags(), D)
    people = [{"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in range(1, 13)]
    lake.append("identity.memberships", rows_of("identity.memberships", people))

    def find(rows: dict[str, list[dict]], policy=None, purpose="marketing", channels="SMS, PUSH"):
        for table, content in rows.items():
            lake.overwrite(table, rows_of(table, content)) if content else None
        file = folder / "x.yml"
        file.write_text(
            spec("x", "where: {tag: tier, eq: T1}", purpose=purpose).replace("SMS, PUSH", channels)
        )
        compiled = compile_leaf_table([read_segment(file)], business_date=D, policy=policy or Policy())
        with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
            leaves = leaves_by_duckdb(lake, desk, compiled, {}, D)
            return {row["one_id"]: row for row in desk.arrow(f"SELECT * FROM {leaves.rows}").to_pylist()}

    return find


# person | decisions, oldest first: purpose channel decision [until] | SMS, PUSH, opted out
CONSENTS = """
1 | marketing ALL GRANT                                                  | T T F
2 | marketing SMS GRANT                                                  | T F F
3 | marketing ALL GRANT ; marketing SMS REFUSE                           | F T F
4 | marketing SMS REFUSE ; marketing ALL GRANT                           | F T F
5 | marketing SMS GRANT ; marketing ALL REFUSE                           | F F T
6 | marketing SMS GRANT ; marketing ALL REFUSE ; marketing PUSH GRANT    | F T F
7 | marketing ALL GRANT ; profiling ALL REFUSE                           | T T T
8 | marketing ALL GRANT 2026-11-19                                       | F F F
9 | marketing ALL GRANT 2026-11-20                                       | F F F
12| marketing ALL GRANT 2026-11-21                                       | T T F
10| service ALL GRANT                                                    | F F F
11| marketing ALL GRANT ; marketing SMS GRANT 2026-01-05                 | F T F
"""


def decisions():
    for line in CONSENTS.strip().splitlines():
        one_id, steps, expected = (cell.strip() for cell in line.split("|"))
        for place, step in enumerate(steps.split(";")):
            purpose, channel, decision, *until = step.split()
            yield int(one_id), expected, {
                "source_key": f"c{one_id}", "purpose": purpose, "channel": channel, "decision": decision,
                "decided_at": at(f"2026-01-{place + 1:02d}"), "expires_on": dt.date.fromisoformat(until[0]) if until else None,
            }  # fmt: skip


def answers(row, purpose="marketing"):
    values = (row[f"allowed_{purpose}_sms_2d"], row[f"allowed_{purpose}_push_2d"], row[f"opt_out_{purpose}"])
    return " ".join("T" if value else "F" for value in values)


def test_consent_follows_the_latest_decision_and_its_absence_is_no(facts_of):
    drawn = list(decisions())
    found = facts_of({"trusted.consents": [row for _, _, row in drawn]})
    assert {n: answers(found[n]) for n, _, _ in drawn} == {n: expected for n, expected, _ in drawn}


def test_a_purpose_that_needs_no_consent_still_respects_a_refusal(facts_of):
    policy = Policy(purposes={"service": PurposeRule(consent="not_required", why="performs the contract")})
    refusals = [
        {
            "source_key": "c1",
            "purpose": "service",
            "channel": "SMS",
            "decision": "REFUSE",
            "decided_at": at("2026-01-01"),
        },
        {
            "source_key": "c2",
            "purpose": "service",
            "channel": "ALL",
            "decision": "REFUSE",
            "decided_at": at("2026-01-01"),
        },
        {
            "source_key": "c3",
            "purpose": "marketing",
            "channel": "ALL",
            "decision": "REFUSE",
            "decided_at": at("2026-01-01"),
        },
    ]
    found = facts_of({"trusted.consents": refusals}, policy=policy, purpose="service")
    assert [answers(found[n], "service") for n in (1, 2, 3, 4)] == ["F T F", "F F T", "T T F", "T T F"]


def test_two_profiles_of_a_person_are_judged_by_the_later_decision_and_a_tie_refuses(facts_of):
    both = [
        {"source_key": "c1", "purpose": "marketing", "channel": "SMS", "decision": "GRANT", "decided_at": at("2026-01-01")},
        {"source": "app", "source_key": "a1", "purpose": "marketing", "channel": "SMS", "decision": "REFUSE", "decided_at": at("2026-01-01")},
        {"source_key": "c2", "purpose": "marketing", "channel": "SMS", "decision": "REFUSE", "decided_at": at("2026-01-01")},
        {"source": "app", "source_key": "a2", "purpose": "marketing", "channel": "SMS", "decision": "GRANT", "decided_at": at("2026-01-02")},
    ]  # fmt: skip
    people = [
        {"one_id": n, "source": s, "source_key": f"{k}{n}", "profile_id": n}
        for n in (1, 2)
        for s, k in (("core", "c"), ("app", "a"))
    ]
    everybody = [{"one_id": 3, "source_key": "c3", "profile_id": 3}]
    found = facts_of({"identity.memberships": people + everybody, "trusted.consents": both})
    assert (found[1]["allowed_marketing_sms_2d"], found[2]["allowed_marketing_sms_2d"]) == (False, True)


def test_receipts_become_refusals_complaints_and_dead_channels(facts_of):
    grants = [
        {
            "source_key": f"c{n}",
            "purpose": "marketing",
            "channel": "ALL",
            "decision": "GRANT",
            "decided_at": at("2026-11-01"),
        }
        for n in range(1, 8)
    ]
    grants.append(
        {
            "source_key": "c2",
            "purpose": "marketing",
            "channel": "SMS",
            "decision": "GRANT",
            "decided_at": at("2026-11-15"),
        }
    )
    answered = [  # person, status, channel, day
        (1, "REFUSED", "SMS", 10), (2, "REFUSED", "SMS", 10), (3, "COMPLAINED", "PUSH", 10), (4, "BOUNCED_HARD", "SMS", 10),
        (5, "BOUNCED_HARD", "SMS", 10), (5, "DELIVERED", "SMS", 11), (6, "BOUNCED_SOFT", "SMS", 10), (77, "REFUSED", "SMS", 10),
        (9, "REFUSED", "SMS", 19),
        # delivered before and after the bounce: the last delivery counts
        (1, "DELIVERED", "SMS", 11), (1, "BOUNCED_HARD", "SMS", 12), (1, "OPENED", "SMS", 13),
    ]  # fmt: skip
    found = facts_of(
        {
            "trusted.consents": grants,
            "trusted.identifier_observations": [
                {"source_key": f"c{n}", "namespace": "phone", "value": "13800000001", "role": "identity"}
                for n in range(1, 8)
            ],
            "segments.recipients": [
                {"destination": "engine", "recipient_key": f"k{n}", "one_id": n}
                for n in (1, 2, 3, 4, 5, 6, 77, 9)
            ],
            "identity.redirects": [{"from_one_id": 77, "to_one_id": 7}],
            "trusted.receipts": [
                {
                    "receipt_id": f"{n}{status}",
                    "run_id": "r",
                    "destination": "engine",
                    "recipient_key": f"k{n}",
                    "channel": channel,
                    "status": status,
                    "event_at": at(f"2026-11-{day}"),
                    "event_on": dt.date(2026, 11, day),
                }
                for n, status, channel, day in answered
            ],
        }
    )
    assert [found[n]["opt_out_marketing"] for n in (1, 2, 3, 7, 9)] == [True, False, False, True, False]
    assert [found[n]["allowed_marketing_sms_2d"] for n in (1, 2)] == [False, True]
    assert [n for n in range(1, 8) if found[n]["has_complained"]] == [3]
    assert [n for n in range(1, 8) if not found[n]["usable_sms"]] == [4]


def test_controls_restrict_while_they_hold_on_the_person_or_an_account(facts_of):
    controls = [  # person or account, kind, grade, started, ended
        ("c1", None, "AML_GRADE", "H", "2026-01-01", None), ("c2", None, "AML_GRADE", "MH", "2026-01-01", None),
        ("c3", None, "FRAUD", None, "2026-01-01", "2026-11-18"), ("c4", None, "FRAUD", None, "2026-01-01", "2026-11-19"),
        ("c5", None, "JUDICIAL", None, "2026-11-19", None), (None, "acc6", "STOP_PAYMENT", None, "2026-01-01", None),
        ("c7", None, "COMPLAINT", None, "2026-01-01", None),
    ]  # fmt: skip
    rows = [
        {"control_id": str(i), "source_key": key, "account_id": account, "control_type": kind, "grade": grade,
         "started_on": dt.date.fromisoformat(start), "ended_on": dt.date.fromisoformat(end) if end else None}
        for i, (key, account, kind, grade, start, end) in enumerate(controls)
    ]  # fmt: skip
    held = [
        {
            "relationship_type": "person_account",
            "from_source": "core",
            "from_key": key,
            "to_source": "core",
            "to_key": "acc6",
            "role": role,
        }
        for key, role in (("c6", "owner"), ("c8", "co_holder"), ("c9", "agent"))
    ]
    given = {"trusted.account_controls": rows, "trusted.relationships": held}
    found = facts_of(given)
    assert [n for n in found if found[n]["is_restricted"]] == [1, 4, 6, 8]
    assert [n for n in found if found[n]["has_complained"]] == [7]
    strict = facts_of({}, policy=Policy(restricted_aml_grades=["MH", "H"]))
    assert [n for n in strict if strict[n]["is_restricted"]] == [1, 2, 4, 6, 8]


def test_a_channel_is_usable_by_its_namespaces_and_pattern(facts_of):
    observed = [
        ("c1", "phone", "13812345678"),
        ("c2", "phone", "unknown"),
        ("c3", "openid@wx1", "o3"),
        ("c4", "openid@wx2", "o4"),
    ]
    rows = [{"source_key": k, "namespace": ns, "value": v, "role": "identity"} for k, ns, v in observed]
    rows.append(
        {"source_key": "c5", "namespace": "phone", "value": "13812345678", "role": "identity", "valid_to": D}
    )
    policy = Policy(
        channels={
            "SMS": ChannelRule(addresses=["phone"], matches="^1[3-9][0-9]{9}$"),
            "WECHAT": ChannelRule(addresses=["openid@wx1"]),
        }
    )
    found = facts_of({"trusted.identifier_observations": rows}, policy=policy, channels="SMS, WECHAT, BRANCH")
    assert [n for n in found if found[n]["usable_sms"]] == [1]
    assert [n for n in found if found[n]["usable_wechat"]] == [3]
    assert all(row["usable_branch"] for row in found.values())


def test_nobody_is_an_adult_by_silence_unless_a_site_says_why(facts_of):
    people = [
        {"source_key": "c1", "kind": "customer", "birth_date": dt.date(1980, 1, 1)},
        {"source_key": "c2", "kind": "customer"},
    ]
    found = facts_of({"trusted.customers": people})
    assert [n for n in found if not found[n]["is_age_unknown"]] == [1], "nor is one of whom nothing is known"
    rule = UnknownAge(adult_sources=["core"], why="accounts are opened for adults only")
    found = facts_of({"trusted.customers": people}, policy=Policy(unknown_age=rule))
    assert [n for n in found if not found[n]["is_age_unknown"]] == [1, 2]


def test_a_birth_date_that_nobody_can_have_settles_no_age(facts_of):
    days = [dt.date(1899, 5, 3), dt.date(1, 1, 1), dt.date(1900, 1, 1), dt.date(1970, 1, 1), dt.date(2062, 5, 3), dt.date(1900, 1, 2)]  # fmt: skip
    people = [{"source_key": f"c{n}", "kind": "customer", "birth_date": day} for n, day in enumerate(days, 1)]
    found = facts_of({"trusted.customers": people})
    assert [n for n in range(1, 7) if not found[n]["is_age_unknown"]] == [6]
    assert [n for n in found if found[n]["is_minor"]] == [5], "a date to come is as strict as it can be"
    members = [{"one_id": 1, "source_key": f"c{n}", "profile_id": n} for n in (1, 6)]
    found = facts_of({"identity.memberships": members, "trusted.customers": people})
    assert not found[1]["is_age_unknown"], "one birth date of a person is enough"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("minimum_age: 0", "minimum_age"),
        ("minimum_age: 13", "minimum_age"),
        ("unknown_age: {adult_sources: [], why: none}", "adult_sources"),
        ("unknown_age: {adult_sources: [core]}", "why"),
    ],
)
def test_the_age_of_adults_is_not_talked_away(make_workspace, text, words):
    with pytest.raises(SettingsInvalid, match=words):
        read_policy(make_workspace({"consent.yml": text}))


def test_a_birthday_and_a_death_count_on_the_business_date(facts_of):
    people = [
        {"source_key": "c1", "kind": "customer", "birth_date": dt.date(2008, 11, 18)},
        {"source_key": "c2", "kind": "customer", "birth_date": dt.date(2008, 11, 19)},
        {"source_key": "c3", "kind": "customer", "deceased_on": D},
        {"source_key": "c4", "kind": "customer", "is_staff": True, "valid_to": D},
    ]
    found = facts_of({"trusted.customers": people})
    assert [n for n in found if found[n]["is_minor"]] == [2]
    assert [n for n in found if found[n]["is_deceased"]] == [3]
    assert [n for n in found if found[n]["is_staff"]] == []


def test_the_latest_word_on_profiling_counts_and_a_refusal_of_the_same_instant(make_workspace):
    folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML})
    lake = open_lake(load_settings(folder), contracts=tag_contracts())
    people = [{"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in range(1, 8)]
    people.append(
        {"one_id": 1, "source_key": "c7", "profile_id": 70, "valid_to": D}
    )  # was somebody else's before
    lake.append("identity.memberships", rows_of("identity.memberships", people))
    words = [
        (1, "profiling", "GRANT", "2026-01-01"), (2, "profiling", "REFUSE", "2026-01-01"),
        (3, "profiling", "REFUSE", "2026-01-01"), (3, "profiling", "GRANT", "2026-01-02"),
        (4, "profiling", "REFUSE", "2026-01-01"), (4, "profiling", "GRANT", "2026-01-01"),
        (5, "marketing", "REFUSE", "2026-01-01"), (7, "profiling", "REFUSE", "2026-01-01"),
    ]  # fmt: skip
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": f"c{n}", "purpose": purpose, "channel": channel, "decision": decision, "decided_at": at(day)}
        for (n, purpose, decision, day), channel in zip(words, ["ALL", "SMS"] * 4, strict=True)]))  # fmt: skip
    lake.append("segments.recipients", rows_of("segments.recipients", [
        {"destination": "engine", "recipient_key": "k6", "one_id": 6, "since": D}]))  # fmt: skip
    lake.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": "r", "run_id": "x", "destination": "engine", "recipient_key": "k6", "channel": "SMS", "status": "REFUSED",
         "purpose": "profiling", "event_at": at("2026-11-10"), "event_on": dt.date(2026, 11, 10)}]))  # fmt: skip
    tables = (
        "identity.memberships", "identity.redirects", "identity.inheritances", "trusted.consents", "trusted.receipts", "segments.recipients",
        "segments.deliveries",
    )  # fmt: skip
    with open_alone(folders=[lake.settings.lake]) as desk:
        sql = duckdb_sql(lake, desk, profiling_refusals_sql(lake_place(D)), tables, {})
        assert sorted(one_id for (one_id,) in desk.rows(sql)) == [2, 4, 6, 7]
