"""Tags of products, branches and employees: what the compiler refuses, and a bank whose employees have tags of a site's own."""

from __future__ import annotations

import datetime as dt

import pytest

from lakehouse.errors import GateStopped, SettingsInvalid, UsageError
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.build.computation import _judge
from tags.compile.compilation import compile_tags
from tests.tags.drawn import draw
from tests.tags.entities.entity_entries import drafts_of_others, tags
from vocabulary.attributes import ENTITIES
from vocabulary.entities import EMPLOYEE, GROUPS, OTHER_ENTITIES, PERSON, TAG_ENTITIES

pytestmark = pytest.mark.slow
D = dt.date(2026, 3, 31)


def test_a_tag_is_about_what_has_a_key_and_a_table():
    for entity in set(OTHER_ENTITIES) - set(GROUPS):
        assert ENTITIES[entity.code] == (entity.table, entity.key[-1])
    assert list(TAG_ENTITIES) == ["customer", "product", "branch", "employee", "company", "household"]


def test_the_rows_of_a_branch_are_grouped_by_its_key_in_one_scan(make_workspace):
    text = tags(
        {},
        {
            "code": "site_closed",
            "compute": "aggregate: {from: trusted.accounts, measure: count, where: status = 'closed'}",
        },
    )
    (writer,) = [
        w for w in compile_tags(make_workspace({"tags/site.yml": text})).others if w.entity.code == "branch"
    ]
    (scan,) = [scan for scan in writer.plan.scans if scan.relation.name == "trusted.accounts"]
    sql = writer.scan_sql(scan)
    assert (
        scan.model == "tag_branch__accounts"
        and "One row per branch that has rows in trusted.accounts." in sql
    )
    assert "group by key__source, key__branch_id" in sql and "int_account_owners" not in sql
    assert [entry.code for entry in scan.entries] == ["site_tag", "site_closed"]


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ({"compute": "aggregate: {from: trusted.assessments, measure: count}", "inputs": "trusted.assessments.grade"}, 13,
         "the rows of trusted.assessments name no branch: they have not the columns source and branch_id; declare a look-up"),
        ({"compute": "aggregate: {from: trusted.transactions, measure: count}", "inputs": "trusted.transactions.direction"}, 13,
         "the rows of trusted.transactions name no branch: they have not the columns source and branch_id; they do by a look-up: write `via: account`"),
        ({"compute": "aggregate: {from: int_credits_keyed, measure: count}", "inputs": "trusted.loans.status"}, 13,
         "the rows of int_credits_keyed name no branch: they have not the columns source and branch_id; give the model these columns"),
        ({"compute": "aggregate: {from: trusted.accounts, via: product, measure: count}"}, 13,
         "the rows of trusted.accounts name the branch by themselves; take out 'via'"),
        ({"compute": "aggregate: {from: trusted.transactions, via: card, measure: count}", "inputs": "trusted.transactions.direction"}, 13,
         "the look-up 'card' leads to trusted.cards, whose rows name no branch"),
        ({"compute": "aggregate: {from: customer_tags, measure: count}", "inputs": "tag:is_mau"}, 13,
         "via 'None': it names the model that says which people belong to a branch: int_account_owners, int_home_branches"),
        ({"compute": "aggregate: {from: customer_tags, via: int_home_branch, measure: count}", "inputs": "tag:is_mau"}, 13,
         "via 'int_home_branch': no model of this name has one_id and source, branch_id; did you mean 'int_home_branches'?"),
        ({"compute": "aggregate: {from: customer_tags, via: int_home_branches, measure: count, where: is_mau}", "inputs": "tag:is_dau"}, 13,
         "reads the tag 'is_mau', which 'inputs' does not list"),
        ({"compute": "aggregate: {from: customer_tags, via: int_home_branches, measure: count, where: p_churn_90d > 0}", "inputs": "tag:p_churn_90d"}, 12,
         "'site_tag' reads the tag 'p_churn_90d', which is draft"),
        ({"compute": "aggregate: {from: customer_tags, via: int_home_branches, measure: sum, of: aum_eod}", "inputs": "tag:aum_eod", "level": "C1",
          "value": "{type: decimal}"}, 10, "level C1 is lower than that of tag:aum_eod (C2); raise it or state 'declassified'"),
        ({"compute": "aggregate: {from: customer_tags, via: int_home_branches, measure: count, where: aml_grade = 'H'}", "inputs": "tag:aml_grade"}, 11,
         "purpose 'service' is wider than those of 'aml_grade'"),
        ({"kind": "rule", "compute": "expression: age + 1", "inputs": "tag:age"}, 12,
         "'site_tag' is a tag of the branch and reads 'age', a tag of the customer; aggregate over `customer_tags` with `via`"),
        ({"kind": "rule", "compute": "expression: product_holder_count + 1", "inputs": "tag:product_holder_count"}, 12,
         "'site_tag' is a tag of the branch and reads 'product_holder_count', a tag of the product"),
        ({"entity": "customer", "kind": "rule", "compute": "expression: branch_active_customer_count + 1", "inputs": "tag:branch_active_customer_count"},
         12, "'site_tag' is a tag of the customer and reads 'branch_active_customer_count', a tag of the branch"),
        ({"compute": "column: {from: int_account_owners, of: status}"}, 13,
         "int_account_owners has more rows than one of a branch; 'column' reads one row of each, 'latest' picks one"),
        ({"entity": "brnach"}, 6, "there is no entity 'brnach'; did you mean 'branch'?; tags are about customer, product, branch, employee, company, household"),
        ({"entity": "household", "level": "C1", "compute": "aggregate: {from: customer_tags, via: int_household_people, measure: count}", "inputs": "tag:is_mau"}, 10,
         "level C1 is lower than that of trusted.relationships.to_key (C2), whose values say whom each answer is about; raise it or state 'declassified'"),
        ({"entity": "company", "compute": "aggregate: {from: customer_tags, via: int_household_people, measure: count}", "inputs": "tag:is_mau"}, 13,
         "via 'int_household_people': no model of this name has one_id and source, company_id"),
        ({"entity": "company", "compute": "aggregate: {from: trusted.customers, measure: count}", "inputs": "trusted.customers.kind"}, 13,
         "the rows of trusted.customers name no company: they have not the columns source and company_id"),
        ({"entity": "employee", "level": "C1", "compute": "latest: {from: trusted.employees, of: status, order_by: [status]}",
          "inputs": "trusted.employees.status", "value": "{type: string}", "null_rule": "U"}, 10,
         "level C1 is lower than that of trusted.employees.employee_id (C2), whose values say whom each answer is about; raise it or state 'declassified'"),
        ({"kind": "rule", "compute": "expression: branch_active_customer_count > 1", "value": "{type: boolean}", "inputs": "tag:branch_active_customer_count",
          "more": "    params: [{name: cuts, value: [1], cut_points: {of: age, quantiles: [0.5], frozen: month}}]\n"}, 17,
         "cut points are computed over people, and this is a tag of the branch"),
    ],
)  # fmt: skip
def test_what_a_tag_of_another_entity_cannot_be_is_said_with_file_and_line(
    make_workspace, changes, line, message
):
    with pytest.raises(SettingsInvalid) as refusal:
        compile_tags(make_workspace({"tags/site.yml": tags(changes)}))
    assert message in str(refusal.value) and f"site.yml:{line}:" in str(refusal.value)


def test_an_approver_may_let_a_tag_of_an_employee_reveal_less(make_workspace):
    changes = {
        "entity": "employee", "level": "C1", "compute": "aggregate: {from: trusted.employees, measure: count}", "inputs": "trusted.employees.status",
        "more": "    declassified: {to: C1, why: a staff number is on the badge, approver: Li Wei}\n",
    }  # fmt: skip
    assert compile_tags(make_workspace({"tags/site.yml": tags(changes)})).others[-1].entity == EMPLOYEE


def test_a_segment_chooses_no_people_by_a_tag_of_a_product(make_workspace):
    from jobs.workspace.surroundings import read_surroundings
    from segments.language.checks.tag_checks import is_usable, unusable_text

    facts = read_surroundings(load_settings(make_workspace())).tags["product_holder_count"]
    assert facts.status == "online" and not is_usable(facts, None, None)
    assert unusable_text(facts) == "is about a product, and a segment chooses people by their own tags"


# ---------------------------------------------------------------------------- a bank whose employees have tags

OF_EMPLOYEES = tags(
    {"code": "employee_people_count", "entity": "employee", "inputs": "trusted.relationships.to_key, trusted.relationships.role",
     "compute": "aggregate: {from: int_managers_keyed, measure: count_distinct, of: one_id, where: role = 'manager'}"},
    {"code": "employee_role", "entity": "employee", "inputs": "trusted.employees.role", "value": "{type: string}", "null_rule": "U",
     "compute": "latest: {from: trusted.employees, of: role, order_by: [role]}"},
    {"code": "employee_city", "entity": "employee", "inputs": "trusted.branches.city", "value": "{type: string}", "null_rule": "U",
     "compute": "latest: {from: trusted.employees, of: '`branch.city`', order_by: ['`branch.city`']}"},
    {"code": "employee_desk", "entity": "employee", "inputs": "trusted.employees.desk", "value": "{type: string}", "null_rule": "U",
     "compute": "latest: {from: trusted.employees, of: desk, order_by: [desk]}"},
    {"code": "employee_women_count", "entity": "employee", "inputs": "tag:gender",
     "compute": "aggregate: {from: customer_tags, via: int_managers_keyed, measure: count, where: gender = 'F'}"},
    {"code": "employee_is_busy", "entity": "employee", "kind": "rule", "inputs": "tag:employee_people_count, tag:employee_role", "value": "{type: boolean}",
     "null_rule": "NA", "compute": "expression: employee_people_count >= 2",
     "more": "    null_when: [{when: employee_role <> 'relationship_manager', reason: not_applicable}]\n"},
    {"code": "company_people_count", "entity": "company", "inputs": "tag:gender",
     "compute": "aggregate: {from: customer_tags, via: int_company_people, measure: count}"},
    {"code": "company_women_count", "entity": "company", "inputs": "tag:gender",
     "compute": "aggregate: {from: customer_tags, via: int_company_people, measure: count, where: gender = 'F'}"},
    {"code": "company_is_of_women", "entity": "company", "kind": "rule", "inputs": "tag:company_people_count, tag:company_women_count", "value": "{type: boolean}",
     "null_rule": "NA", "compute": "expression: company_people_count = company_women_count"},
    {"code": "household_people_count", "entity": "household", "inputs": "tag:gender",
     "compute": "aggregate: {from: customer_tags, via: int_household_people, measure: count}"},
    {"code": "branch_lonely", "inputs": "trusted.transactions.direction", "value": "{type: int}",
     "compute": "aggregate: {from: trusted.transactions, via: account, measure: count, window_days: 30}"},
)  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """A lake after two nights: between them ann's manager has got another role."""
    import tags as room

    folder = tmp_path_factory.mktemp("employees")
    (folder / "cdp.yml").write_text("time_zone: Asia/Shanghai\nengine: duckdb\n")
    (folder / "attributes.yml").write_text(
        "attributes:\n  - {code: desk, entity: employee, type: string, level: C1, name: {zh: 工位, en: Desk}}\n"
    )
    (folder / "tags").mkdir()
    (folder / "tags" / "site.yml").write_text(OF_EMPLOYEES)
    (folder / "tags" / "others.yml").write_text(drafts_of_others("gender"))
    lake = open_lake(load_settings(folder))
    draw(lake, "identity.one_ids", """
        | one_id | anchor_profile_id | created_on | kind     | status | profile_count |
        | 1      | 1                 | 2026-01-01 | customer | active | 1             |
        | 2      | 2                 | 2026-01-01 | customer | active | 1             |
    """)  # fmt: skip
    draw(
        lake,
        "identity.memberships",
        "| one_id | source | source_key | profile_id |\n| 1 | bank | ann | 1 |\n| 2 | bank | bob | 2 |",
    )
    draw(lake, "identity.golden_records", "| one_id | gender |\n| 1 | F |\n| 2 | M |")
    draw(
        lake,
        "trusted.customers",
        "| source_key | kind | registered_on |\n| ann | customer | 2020-01-01 |\n| bob | customer | 2020-01-01 |",
    )
    draw(lake, "trusted.branches", "| branch_id | city |\n| b1 | 310000 |")
    draw(lake, "trusted.employees", """
        | employee_id | branch_id | role                 | valid_to   | valid_from |
        | rm1         | b1        | relationship_manager | -          | 2020-01-01 |
        | rm2         | -         | teller               | 2026-03-31 | 2020-01-01 |
        | rm2         | -         | branch_head          | -          | 2026-03-31 |
    """)  # fmt: skip
    draw(
        lake,
        "trusted.attributes",
        "| entity | entity_key | attribute | value_type | value |\n| employee | rm2 | desk | string | 4B |",
    )
    draw(lake, "trusted.relationships", """
        | source | relationship_type | from_source | from_key | to_source | to_key | role    |
        | crm    | person_manager    | bank        | ann      | bank      | rm1    | manager |
        | crm    | person_manager    | bank        | bob      | bank      | rm1    | manager |
        | bank   | person_manager    | bank        | bob      | crm       | rm2    | manager |
        | bank   | person_account    | bank        | ann      | bank      | a1     | owner   |
        | bank   | person_company    | bank        | ann      | credit_code | 91x  | member  |
        | crm    | person_company    | bank        | bob      | credit_code | 91X  | member  |
        | crm    | person_company    | bank        | ann      | hub       | 91X    | member  |
        | crm    | person_company    | bank        | nobody   | hub       | 7      | member  |
        | bank   | person_household  | bank        | bob      | bank      | ann    | spouse  |
    """)  # fmt: skip
    draw(
        lake,
        "trusted.accounts",
        "| account_id | account_type | currency | status | branch_id |\n| a1 | savings | CNY | open | b1 |",
    )
    draw(lake, "trusted.transactions", """
        | transaction_id | account_id | transacted_on | direction | amount | amount_base | currency | transaction_type | initiator |
        | t1             | a1         | 2026-03-02    | debit     | 1      | 1           | CNY      | PAYMENT          | C         |
        | t2             | a1         | 2026-02-28    | debit     | 1      | 1           | CNY      | PAYMENT          | C         |
    """)  # fmt: skip
    for day in (D - dt.timedelta(days=1), D):
        room.build_tags(lake, day)
    return lake


def rows_of(lake, table):
    return {row["employee_id"]: row for row in lake.read_arrow(table).to_pylist()}


def test_an_employee_has_a_row_of_its_own_key_attributes_and_people(bank):
    rows = rows_of(bank, "tags.employee_tags")
    values = {
        key: {name: row[name] for name in row if name.startswith("employee_") and name != "employee_id"}
        for key, row in rows.items()
    }
    assert values["rm1"] == {
        "employee_people_count": 2, "employee_role": "relationship_manager", "employee_city": "310000", "employee_desk": None,
        "employee_women_count": 1, "employee_is_busy": True,
    }  # fmt: skip
    # The key is that of the employee's source, not of the system that states the relationship: crm's rm2 is somebody else.
    assert values["rm2"] == {
        "employee_people_count": 0, "employee_role": "branch_head", "employee_city": None, "employee_desk": "4B", "employee_women_count": 0,
        "employee_is_busy": None,
    }  # fmt: skip
    assert bank.read_arrow("tags.branch_tags")["branch_lonely"].to_pylist() == [1]
    assert bank.contracts.get("tags.employee_tags").columns["employee_id"].level == "C2"


def test_a_company_and_a_household_are_their_people(bank):
    """A credit code is one company whoever states it, and in which letters; a household that names a person has them too."""
    rows = bank.read_arrow("tags.company_tags").to_pylist()
    names = ("source", "company_id", "company_people_count", "company_women_count", "company_is_of_women")
    assert sorted(tuple(row[name] for name in names) for row in rows) == [
        ("credit_code", "91X", 2, 1, False), ("hub", "91X", 1, 1, True),
    ]  # fmt: skip
    (household,) = bank.read_arrow("tags.household_tags").to_pylist()
    assert (household["source"], household["household_id"], household["household_people_count"]) == (
        "bank",
        "ann",
        2,
    )
    assert bank.read_arrow("tags.company_tags_daily").num_rows == 4
    assert bank.contracts.get("tags.company_tags").columns["company_id"].level == "C2"


def test_what_changed_of_an_employee_is_kept_and_is_no_event_of_a_person(bank):
    rows = bank.read_arrow("tags.entity_tag_history").to_pylist()
    changes = [
        (r["entity"], r["source"], r["entity_key"], r["tag"], r["from_value"], r["to_value"], r["cause"])
        for r in rows
    ]
    assert ("employee", "bank", "rm2", "employee_role", "teller", "branch_head", "value") in changes
    assert not [
        row for row in bank.read_arrow("tags.tag_events").to_pylist() if row["tag"].startswith("employee_")
    ]


def test_quality_counts_the_rows_of_the_entity_and_reasons_of_its_nulls(bank):
    rows = {
        row["tag"]: row
        for row in bank.read_arrow("quality.tag_quality", filters=[("as_of", "=", D)]).to_pylist()
    }
    busy = rows["employee_is_busy"]
    assert (
        busy["people_count"],
        busy["eligible_count"],
        busy["not_applicable_count"],
        busy["unexplained_count"],
    ) == (2, 2, 1, 0)
    assert (rows["employee_role"]["compared_count"], rows["employee_role"]["changed_count"]) == (2, 1)
    assert rows["gender"]["people_count"] == 2
    catalogue = {row["code"]: row for row in bank.read_arrow("tags.catalogue").to_pylist()}
    assert (
        catalogue["employee_women_count"]["entity"] == "employee"
        and "via int_managers_keyed" in catalogue["employee_women_count"]["compiled_sql"]
    )
    assert catalogue["gender"]["read_by"] == [
        "company_people_count", "company_women_count", "employee_women_count", "household_people_count",
    ]  # fmt: skip


def test_a_value_outside_the_domain_of_an_employees_tag_stops_the_night_and_names_its_table(bank):
    quality = [{"tag": "employee_role", "outside_domain_count": 3, "unexplained_count": 0}]
    with pytest.raises(GateStopped, match=r"tags\.employee_tags.*outside_domain.*\[outside: employee_role\]"):
        _judge(bank, quality, {}, {}, D, {"employee_role": "tags.employee_tags"})


def test_a_past_day_is_computed_again_for_every_entity(bank):
    from tags.build.past import backfill_tags, entries_of, recompute

    compilation = compile_tags(bank.settings.workspace)
    day = D - dt.timedelta(days=1)
    outcomes = {one.tag: one for one in recompute(bank, compilation, day)}
    assert (outcomes["employee_role"].people, outcomes["employee_role"].differing) == (2, 0)
    before = bank.read_arrow("tags.employee_tags_daily").sort_by(
        [("as_of", "ascending"), ("employee_id", "ascending")]
    )
    entries = entries_of(compilation, ["employee_role", "gender"])
    assert backfill_tags(bank, compilation, entries, [day], "today", D) == {day: 4}
    after = bank.read_arrow("tags.employee_tags_daily").sort_by(
        [("as_of", "ascending"), ("employee_id", "ascending")]
    )
    assert after.to_pylist() == before.to_pylist()


def test_one_tag_of_another_entity_is_computed_alone(bank):
    import tags as room

    before = {
        table: bank.read_arrow(table).to_pylist() for table in ("tags.customer_tags", "tags.branch_tags")
    }
    rows = rows_of(bank, "tags.employee_tags")
    room.build_tags(bank, D, only={"employee_women_count"})
    assert {table: bank.read_arrow(table).to_pylist() for table in before} == before
    assert rows_of(bank, "tags.employee_tags") == rows


def test_a_tag_without_an_entity_is_one_of_people(make_workspace):
    compilation = compile_tags(None)
    assert {entry.about for entry in compilation.plan.entries} == {PERSON}
    assert UsageError is not None and [w.entity.code for w in compilation.others] == ["product", "branch"]
