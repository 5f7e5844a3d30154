"""Companies, households and capacities of branches by the index: the preview that the tables give, and no table is asked about everybody."""

from __future__ import annotations

import datetime as dt

import pytest
from index_bank import index, show
from segment_bank import D, rows_of, spec

from lakehouse.ledger.ledger import publish as make_visible
from segments.explaining import snapshot

SINCE = dt.date(2026, 11, 1)
# type | person | second end | role
TIES = [
    ("person_company", "c1", "91A", "representative"), ("person_company", "c2", "91A", "representative"),
    ("person_company", "c3", "91B", "representative"), ("person_company", "c9", "91C", "representative"),
    ("person_company", "nobody", "91D", "representative"),
    ("person_household", "c1", "H1", "member"), ("person_household", "c4", "H1", "member"),
    ("person_household", "c6", "H1", "child"), ("person_household", "c10", "H2", "member"),
    ("person_household", "c12", "H3", "member"), ("person_household", "c2", "c5", "spouse"),
]  # fmt: skip
SOME = "where: {members: {where: {tag: tier, eq: T3}, count: {gte: 1}}}"
SEGMENTS = {
    "firms": ("company", SOME, "{highest: balance}", "channel, companies"),
    "all_firms": ("company", "unknown: include\nwhere: {members: {where: {not: {tag: days_left, lt: 5}}, any: false}}",
                  "{prefer: {event: {name: wealth_view, count: {gte: 1}, within_days: 30}}, lowest: balance}", "companies"),
    "homes": ("household", "base: {members: {count: {gte: 1}}}\nwhere: {members: {sum: {of: balance, gte: 300}}}",
              "{prefer: {tag: is_active, eq: false}, highest: balance}", "channel"),
    "rich_homes": ("household", SOME, "{where: {segment: rich}, highest: balance}", "channel"),
}  # fmt: skip


def of(code: str) -> str:
    entity, body, addressee, columns = SEGMENTS[code]
    text = spec(code, f"addressee: {addressee}\n{body}", columns=columns)
    return text.replace("entity: customer", f"entity: {entity}")


@pytest.fixture
def same_by_both(bank, monkeypatch):
    """A function that compares previews by the tables and by the index, and gives those of the names."""

    def function(*names):
        expected = [show(bank, name) for name in names]
        assert not any("index" in note for figures in expected for note in figures.notes)
        index(bank)
        with monkeypatch.context() as patch:
            patch.setattr(snapshot, "leaves_by_duckdb", None)
            assert [show(bank, name) for name in names] == expected
        return expected

    return function


def write(bank, files):
    for name, text in files.items():
        (bank.settings.workspace / name).write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_companies_and_households_by_the_index_are_those_of_the_tables(bank, same_by_both, tmp_path):
    rows = [{"relationship_type": kind, "from_source": "core", "from_key": person, "to_key": end, "role": role, "valid_from": SINCE,
             "to_source": "credit_code" if kind == "person_company" else "core"} for kind, person, end, role in TIES]  # fmt: skip
    bank.append("trusted.relationships", rows_of("trusted.relationships", rows))
    make_visible(bank, D, "second", {})
    write(bank, {f"segments/{code}.yml": of(code) for code in SEGMENTS})
    people = spec("people", "where: {all: [{segment: firms}, {tag: balance, gte: 1}]}")
    write(bank, {"segments/people.yml": people})
    draft = tmp_path / "draft.yml"
    draft.write_text(of("firms").replace("eq: T3", "in: [T1, T2]").replace("1.0.0", "1.1.0"))
    figures = dict(
        zip((*SEGMENTS, "people", "draft"), same_by_both(*SEGMENTS, "people", str(draft)), strict=True)
    )
    assert {code: one.counts["candidates"] for code, one in figures.items()} == {
        "firms": 2, "all_firms": 2, "homes": 2, "rich_homes": 2, "people": 1, "draft": 2,
    }  # fmt: skip


POLICY = """\
caps: [{scope: global, max: 1, days: 7}]
capacities:
  - {scope: SMS, max: 1, per: branch}
  - {scope: PUSH, max: 1, per: employee}
"""


@pytest.mark.slow
def test_capacities_of_branches_and_employees_by_the_index_are_those_of_the_tables(bank, same_by_both):
    customers = [{"source": "crm", "source_key": f"r{n}", "kind": "customer", "branch_id": "B1" if n < 10 else "B2", "valid_from": SINCE}
                 for n in (1, 3, 10)]  # fmt: skip
    bank.append("trusted.customers", rows_of("trusted.customers", customers))
    bank.append("identity.memberships", rows_of("identity.memberships", [
        {"one_id": n, "source": "crm", "source_key": f"r{n}", "profile_id": 200 + n} for n in (1, 3, 10)]))  # fmt: skip
    bank.append("trusted.employees", rows_of("trusted.employees", [
        {"source": "core", "employee_id": "e1", "branch_id": "B2", "status": "active", "valid_from": SINCE}]))  # fmt: skip
    bank.append("trusted.relationships", rows_of("trusted.relationships", [
        {"relationship_type": "person_manager", "from_source": "core", "from_key": f"c{n}", "to_source": "core", "to_key": "e1",
         "role": "manager", "valid_from": SINCE} for n in (3, 4)]))  # fmt: skip
    make_visible(bank, D, "second", {})
    write(bank, {"contact_policy.yml": POLICY})
    rich, lookers = same_by_both("rich", "lookers")
    assert rich.counts["dropped_by_contact"] == {"LOST_ARBITRATION": 1}
    assert lookers.counts["dropped_by_contact"] == {"LOST_ARBITRATION": 2}
