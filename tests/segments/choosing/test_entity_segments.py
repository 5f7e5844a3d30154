"""Segments of companies and households: what their people answer together, and the one person each is contacted through."""

from __future__ import annotations

import datetime as dt
import json
from itertools import count

import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    bank_lake,
    catalogue_of,
    publish,
    rows_of,
    spec,
    surroundings,
)

from lakehouse.errors import GateStopped, SettingsInvalid
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from segments.explaining import publication_warnings
from segments.explaining.explain import explain
from segments.explaining.preview import preview
from segments.explaining.profile import profile
from segments.language.spec import read_segment


def of(entity, code, body, addressee="{highest: balance}", **changes):
    """A specification of companies or households."""
    text = spec(code, f"addressee: {addressee}\n{body}", **changes)
    return text.replace("entity: customer", f"entity: {entity}")


# type | person | second end | role
TIES = """
person_company   | c1  | 91A  | representative
person_company   | c2  | 91A  | representative
person_company   | c1  | 91B  | representative
person_company   | c3  | 91B  | representative
person_company   | c3  | 91b  | representative
person_company   | c9  | 91C  | representative
person_household | c1  | H1   | member
person_household | c4  | H1   | member
person_household | c6  | H1   | child
person_household | c8  | H2   | member
person_household | c10 | H2   | member
person_household | c11 | H3   | member
person_household | c12 | H3   | member
person_household | c2  | c5   | spouse
"""


def ties(text=TIES):
    """The drawn relationships as rows."""
    rows = []
    for line in text.strip().splitlines():
        kind, person, end, role = (cell.strip() for cell in line.split("|"))
        source = "credit_code" if kind == "person_company" else "core"
        rows.append({"relationship_type": kind, "from_source": "core", "from_key": person, "to_source": source,
                     "to_key": end, "role": role, "valid_from": dt.date(2026, 11, 1)})  # fmt: skip
    return rows


@pytest.fixture
def bank(make_workspace):
    """Make a published night of segments over the drawn bank, each in a workspace of its own."""
    numbers = count()

    def make(segments, relationships=None, more=None):
        folder = make_workspace({
            "cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML,
            **{f"segments/{code}.yml": text for code, text in segments.items()},
        }, name=f"bank {next(numbers)}")  # fmt: skip
        lake = bank_lake(load_settings(folder))
        lake.append("trusted.relationships", rows_of("trusted.relationships", relationships or ties()))
        for table, rows in (more or {}).items():
            lake.append(table, rows_of(table, rows))
        assert [str(f) for f in catalogue_of(lake.settings).findings()] == []
        result = publish(lake, D)
        make_visible(lake, D, "first", {})
        return lake, {audience.code: audience for audience in result.audiences}

    return make


def contacted(audience):
    return audience.people["one_id"].to_pylist()


def test_a_company_is_chosen_by_its_people_and_contacted_through_one_of_them(bank):
    some = "where: {members: {where: {tag: tier, eq: T3}, count: {gte: 1}}}"
    _, audiences = bank(
        {
            "rich": of("company", "rich", some, columns="channel, companies"),
            "poorest": of("company", "poorest", some, "{lowest: balance}", columns="companies"),
            "twice": of("company", "twice", "where: {members: {count: {gte: 3}}}"),
            "every": of("company", "every", "unknown: exclude\nwhere: {members: {where: {not: {tag: tier, eq: T3}}, any: false}}"),
            "sum": of("company", "sum", "where: {members: {sum: {of: balance, gte: 950}}}", columns="companies"),
        }
    )  # fmt: skip
    # OneID 2 has no phone: 91A is contacted through 1 whatever the order says, and 9 agrees to nothing.
    assert audiences["rich"].people.to_pylist() == [
        {"one_id": 1, "channel": "SMS", "companies": ["91A", "91B"]}
    ]
    assert audiences["rich"].levels["companies"] == "C2"
    assert audiences["rich"].counts["suppressed_by_reason"] == {"NO_CONSENT": 1}
    assert audiences["poorest"].people.to_pylist() == [
        {"one_id": 1, "companies": ["91A"]},
        {"one_id": 3, "companies": ["91B"]},
    ]
    assert contacted(audiences["twice"]) == [], "91B is stated twice of 3, in two ways of writing"
    assert contacted(audiences["every"]) == [], "91C alone has none but T3, and 9 agrees to nothing"
    assert audiences["every"].counts["candidates"] == 1
    assert audiences["sum"].people.to_pylist() == [{"one_id": 1, "companies": ["91A", "91B"]}]


def test_a_household_has_whoever_it_is_named_by_and_prefers_whom_the_rule_prefers(bank):
    body = "where: {members: {count: {gte: 2}}}"
    active = "{prefer: {tag: is_active, eq: false}, highest: balance}"
    _, audiences = bank(
        {
            "home": of("household", "home", body, active),
            "two": of("household", "two", "where: {members: {where: {tag: tier, eq: T2}, count: {gte: 1}}}"),
            "three": of("household", "three", "where: {members: {count: {gte: 3}}}"),
        }
    )
    # H1 has 1, 4 and the minor 6, who does not count; 8 is staff, so H2 counts one; 11 refused, so H3 counts one; 2 is married to
    # c5, who is restricted: one counts of the household that c5 names.
    assert contacted(audiences["home"]) == [4]
    assert [audiences[code].counts["candidates"] for code in ("home", "three")] == [1, 0]
    assert audiences["two"].counts["candidates"] == 1 and contacted(audiences["two"]) == []
    assert audiences["two"].counts["suppressed_by_reason"] == {"RESTRICTED": 1}, (
        "5 would be asked first and is restricted, 2 has no phone"
    )


REFUSAL = [
    {"source_key": "c1", "purpose": "profiling", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-11-01")}
]  # fmt: skip


def test_the_values_of_who_refused_choose_nobody_else(bank):
    body = "where: {members: {sum: {of: balance, gte: 1000}}}"
    _, audiences = bank({"rich": of("household", "rich", body)})
    assert contacted(audiences["rich"]) == [1], "900 and 200 together"
    _, audiences = bank({"rich": of("household", "rich", body)}, more={"trusted.consents": REFUSAL})
    assert audiences["rich"].counts["candidates"] == 0, "1 refused profiling, and 4 is not told apart by it"


@pytest.mark.slow
def test_a_preview_has_the_figures_of_the_night_and_an_explanation_both_sides(bank):
    body = "unknown: exclude\nbase: {members: {count: {gte: 2}}}\nwhere: {members: {where: {tag: tier, eq: T3}, count: {gte: 1}}}"
    named = spec("people", "where: {all: [{segment: rich}, {tag: balance, gte: 1}]}")
    lake, audiences = bank(
        {"rich": of("company", "rich", body, columns="channel, companies"), "people": named}
    )
    assert contacted(audiences["people"]) == [1], "a segment of persons names the addressees"
    figures = preview(lake.settings, surroundings(lake.settings), "rich", people=9)
    assert figures.counts == audiences["rich"].counts
    assert [(s.condition.split(":")[0], s.people, s.unknown) for s in figures.funnel] == [
        ("every company with people who have tags", 3, 0), ("base", 2, 0), ("where", 2, 0),
    ]  # fmt: skip
    assert [(p["one_id"], p["companies"]) for p in figures.people] == [(1, ["91A", "91B"])]
    assert any("for 2 of them 1 people may be addressed" in note for note in figures.notes)
    assert (figures.difference.staying, figures.difference.entering, figures.difference.leaving) == (1, 0, 0)

    told = explain(lake.settings, surroundings(lake.settings), "rich", 3)
    assert (told.answer, told.is_member) == (True, False)
    assert told.outcome == "chosen, but contacted through somebody else"
    lines = [(line.depth, line.text, line.answer, line.evidence) for line in told.lines]
    assert lines[0] == (0, "company 91B", True, "contacted through OneID 1")
    assert (2, "members where tag tier, eq T3, count gte 1", True, "1, of 2 people who count") in lines
    assert (3, "this person", False, "") in lines
    assert explain(lake.settings, surroundings(lake.settings), "rich", 1).outcome == "member, published"
    stranger = explain(lake.settings, surroundings(lake.settings), "rich", 4)
    assert (stranger.answer, stranger.outcome) == (False, "not chosen by the rule")
    assert "the person belongs to no company on that day" in stranger.notes
    whole = profile(lake.settings, surroundings(lake.settings), "rich")
    assert (whole.base_people, whole.people) == (3, 1), "the people of the companies of the base"


def test_a_person_who_stands_for_two_is_contacted_once_and_the_runs_rest_on_who_belongs_where(bank):
    body = "where: {members: {count: {gte: 1}}}"
    _, audiences = bank({"all": of("company", "all", body)})
    people = contacted(audiences["all"])
    assert len(people) == len(set(people)) == 1
    (entry,) = [i for i in audiences["all"].inputs if i["table"] == "trusted.relationships/company"]
    assert entry["rows"] == 5
    fewer = [tie for tie in ties() if tie["from_key"] != "c3"]
    _, others = bank({"all": of("company", "all", body)}, fewer)
    assert others["all"].run_id != audiences["all"].run_id


def test_a_rule_whose_answer_is_unknown_can_stop_the_night_and_is_counted_in_companies(bank):
    body = "unknown: error\nwhere: {members: {where: {tag: days_left, lt: 5}, count: {gte: 1}}}"
    with pytest.raises(GateStopped, match="1 companies have an unknown answer"):
        bank({"soon": of("company", "soon", body)}, [t for t in ties() if t["from_key"] != "c1"])


def test_the_sql_that_is_shown_can_be_read_by_spark_and_chooses_the_same(bank):
    import sqlglot

    from segments.choosing.compile import segment_sql
    from vocabulary.policy import Policy

    body = "where: {members: {where: {tag: tier, eq: T3}, sum: {of: balance, gte: 950}}}"
    lake, _ = bank({"rich": of("company", "rich", body, columns="companies")})
    segment = catalogue_of(lake.settings).segment("rich")
    statements = sqlglot.parse(segment_sql(segment, business_date=D, policy=Policy()), read="spark")
    assert len(statements) == 2
    assert (
        json.dumps(sorted(t.name for t in statements[1].find_all(sqlglot.exp.Table))).count("relationships")
        == 1
    )


FAULTS = [
    ("where: {tag: tier, eq: T1}", "'tag' is about one person, and the segment is of entity: company"),
    ("where: {members: {where: {members: {count: {gte: 1}}}}}", "what stands here is about one person"),
    ("where: {members: {where: {tag: tier}, count: {gte: 1}}}", "is asked nothing"),
    ("where: {members: {where: {tag: tier, eq: T1}, count: {gte: 1}, sum: {of: balance, gte: 1}}}", "join two with all"),
    ("where: {members: {who: {tag: tier, eq: T1}}}", "unknown key 'who'"),
    ("where: {members: {sum: {gte: 1}}}", "takes a column and a comparison"),
    ("where: {members: 3}", "'members' takes {where, count}"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), FAULTS)
def test_a_rule_that_mixes_people_and_entities_is_refused_with_its_line(tmp_path, body, words):
    file = tmp_path / "x.yml"
    file.write_text(of("company", "x", body))
    with pytest.raises(SettingsInvalid) as refused:
        read_segment(file)
    assert (refused.value.line, words in refused.value.message) == (10, True), str(refused.value)


@pytest.mark.parametrize(
    ("addressee", "words"),
    [
        ("{}", "it says who is contacted by where, prefer, highest or lowest"),
        ("{where: null}", "it says who is contacted"),
        ("{highest: balance, lowest: balance}", "write one of them"),
        ("{oldest: true}", "oldest"),
        ("{where: {members: {count: {gte: 1}}}}", "what stands here is about one person"),
        ("{prefer: {tag: tier}}", "is asked nothing"),
    ],
)
def test_an_addressee_that_says_nothing_or_too_much_is_refused(tmp_path, addressee, words):
    file = tmp_path / "x.yml"
    file.write_text(of("household", "x", "where: {members: {count: {gte: 1}}}", addressee))
    with pytest.raises(SettingsInvalid, match=words):
        read_segment(file)


def test_an_entity_without_addressee_and_an_addressee_without_entity_are_refused(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text(
        of("company", "x", "where: {members: {count: {gte: 1}}}").replace(
            "addressee: {highest: balance}\n", ""
        )
    )
    with pytest.raises(SettingsInvalid, match="a company is contacted through one of its people"):
        read_segment(file)
    file.write_text(spec("x", "addressee: {highest: balance}\nwhere: {tag: tier, eq: T1}"))
    with pytest.raises(SettingsInvalid, match="addressee belongs to companies and households"):
        read_segment(file)
    file.write_text(spec("x", "where: {members: {count: {gte: 1}}}"))
    with pytest.raises(SettingsInvalid, match="asks the people of a company or household"):
        read_segment(file)
    file.write_text(of("branch", "x", "where: {members: {count: {gte: 1}}}"))
    with pytest.raises(SettingsInvalid, match="'customer', 'prospect', 'company' or 'household'"):
        read_segment(file)


CHECKED = [
    ("where: {members: {where: {tag: teir, eq: T1}}}", "E01", "no tag 'teir'"),
    ("where: {members: {where: {list: nobody@1}}}", "E01", "no list 'nobody@1'"),
    ("where: {members: {where: {tag: tier, in: [T9]}}}", "E02", "no value 'T9'"),
    ("where: {members: {sum: {of: tier, gte: 1}}}", "E03", "'sum' works on numbers, and tag 'tier' is a category"),
    ("where: {members: {sum: {of: balance, in: [1]}}}", "E03", "is compared by"),
    ("where: {members: {sum: {of: balance, gte: much}}}", "E03", "'much' is not a number"),
    ("where: {members: {where: {tag: balance, top_n: 3}}}", "E03", "write within: all to rank everybody"),
    ("where: {members: {sum: {of: sketch, gte: 1}}}", "E05", "is draft"),
    ("where: {members: {where: {tag: grade, eq: H}}}", "E06", "such people count for nothing already"),
    ("where: {members: {count: {gte: 1}}}\nexclude: [{members: {where: {tag: grade, eq: H, include_unknown: true}}}]", "E06", "may only exclude"),
    ("where: {not: {members: {where: {tag: tier, eq: T1}}}}", "E13", "'tier' can be null and is negated"),
    ("where: {members: {where: {tag: tier, eq: T1}, count: {lt: 2}}}", "E13", "'tier' can be null and is negated"),
    ("where: {not: {members: {max: {of: days_left, gte: 1}}}}", "E13", "can be unknown and is negated"),
    ("where: {members: {where: {all: [{tag: balance, gte: 50}, {tag: balance, lt: 40}]}}}", "E14", "true of nobody"),
    ("where: {members: {count: {gte: 3, lt: 2}}}", "E14", "true of nobody"),
    ("where: {members: {count: {gte: 0}}}", "E14", "true of everybody"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "words"), CHECKED)
def test_what_is_asked_of_people_is_checked_inside_as_outside(make_workspace, body, code, words):
    files = {
        "tags/test.yml": TAGS_YML,
        "destinations.yml": DESTINATIONS_YML,
        "segments/x.yml": of("company", "x", body),
    }
    findings = catalogue_of(load_settings(make_workspace(files))).findings()
    assert [finding.code for finding in findings] == [code], [str(f) for f in findings]
    assert words in findings[0].message


def test_the_companies_of_a_person_are_c2_and_belong_to_segments_of_companies(make_workspace):
    body = "where: {members: {count: {gte: 1}}}"
    base = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
    low = of("company", "x", body, columns="companies").replace("[engine]", "[open_engine]")
    texts = {"segments/x.yml": low, "segments/y.yml": of("household", "y", body, columns="companies")}
    findings = catalogue_of(load_settings(make_workspace({**base, **texts}))).findings()
    assert [(f.file.stem, f.code, f.message.split(";")[0]) for f in findings] == [
        ("x", "E07", "column 'companies' is C2, above the ceiling C1 of 'open_engine'"),
        ("y", "E01", "column 'companies' is neither variant, channel nor a tag"),
    ]


def test_the_order_of_addressees_is_that_of_a_number(make_workspace):
    text = of("household", "z", "where: {members: {count: {gte: 1}}}", "{highest: tier}")
    files = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "segments/z.yml": text}
    findings = catalogue_of(load_settings(make_workspace(files))).findings()
    assert [(f.code, f.line) for f in findings] == [("E03", 9)]


def test_who_addresses_whom_belongs_to_the_definition_and_other_definitions_are_what_they_were(tmp_path):
    body = "where: {members: {count: {gte: 1}}}"
    hashes = set()
    for addressee in (
        "{highest: balance}",
        "{lowest: balance}",
        "{highest: days_left}",
        "{prefer: {tag: tier, eq: T1}}",
        "{where: {tag: tier, eq: T1}}",
    ):
        file = tmp_path / "x.yml"
        file.write_text(of("company", "x", body, addressee))
        hashes.add(read_segment(file).definition_hash)
    assert len(hashes) == 5
    file.write_text(spec("x", "where: {tag: tier, eq: T1}"))
    assert read_segment(file).definition_hash == "f8074546e48ad50dd3a9b500ac50f274"


@pytest.mark.parametrize(("left", "expected"), [
    (0.66, []),
    (0.67, [("W03", "the condition leaves 2 of the 3 companies before it (2026-11-18)")]),
])  # fmt: skip
def test_a_condition_that_leaves_few_companies_is_told_in_companies(bank, monkeypatch, left, expected):
    body = "where:\n  all:\n    - {members: {count: {gte: 1}}}\n    - {members: {count: {gte: 2}}}"
    lake, _ = bank({"narrow": of("company", "narrow", body)})
    monkeypatch.setattr(publication_warnings, "LEFT", left)
    found = publication_warnings.publication_warnings(lake.settings, catalogue_of(lake.settings))
    assert [(f.code, f.message) for f in found] == expected
