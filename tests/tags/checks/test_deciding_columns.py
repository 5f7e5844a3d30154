"""Which columns decide the rows that a tag is taken from: filters, keys and days of models, and whose level counts."""

from __future__ import annotations

import pytest

from lakehouse.errors import SettingsInvalid
from tags.catalogue import lineage
from tags.compile.compilation import compile_tags
from tags.compile.lineage import Lineage

CARDS = "{{ source('trusted', 'cards') }}"
LOANS = "{{ source('trusted', 'loans') }}"
BALANCES = "{{ source('trusted', 'balances') }}"


def deciding(folder, sql, *, column="answer"):
    """What decides the rows of a model with this SQL where its column ``answer`` is read, by kind; names without database."""
    (folder / "int_drawn.sql").write_text(sql, encoding="utf-8")
    columns = Lineage([folder]).deciding("int_drawn", [column])
    kinds = {"filters": columns.filters, "presences": columns.presences, "keys": columns.keys}
    return {kind: {name.removeprefix("trusted.") for name in names} for kind, names in kinds.items() if names}


CASES = {
    "a filter": (
        f"select card_type as answer from {CARDS} where status = 'active'",
        {"filters": {"cards.status"}},
    ),
    "a filter over a group": (
        f"select account_id, count(*) as answer from {CARDS} group by account_id having max(used_amount) > 5",
        {"filters": {"cards.used_amount"}, "keys": {"cards.account_id"}},
    ),
    "a window that one row of stays": (
        f"select card_type as answer from {CARDS} "
        "qualify row_number() over (partition by account_id order by issued_on desc, card_id) = 1",
        {"filters": {"cards.issued_on", "cards.card_id"}, "keys": {"cards.account_id"}},
    ),
    "a window that has a name": (
        f"select answer from (select card_type as answer, row_number() over newest as place from {CARDS} "
        "window newest as (partition by account_id order by issued_on)) ranked where place = 1",
        {"filters": {"cards.issued_on"}, "keys": {"cards.account_id"}},
    ),
    "a key and a filter of a join": (
        f"select c.card_type as answer from {CARDS} c join {LOANS} l on l.account_id = c.account_id and l.status = 'active'",
        {"filters": {"loans.status"}, "keys": {"loans.account_id", "cards.account_id"}},
    ),
    "a join that says who stays out": (
        f"select c.card_type as answer from {CARDS} c left anti join {LOANS} l on l.account_id = c.account_id",
        {"keys": {"loans.account_id", "cards.account_id"}},
    ),
    "a left join of which the answer takes nothing": (
        f"select c.card_type as answer, l.status from {CARDS} c left join {LOANS} l on l.account_id = c.account_id",
        {},
    ),
    "a left join that may make a row several": (
        f"select count(*) as answer from {CARDS} c left join {LOANS} l on l.account_id = c.account_id",
        {"keys": {"loans.account_id", "cards.account_id"}},
    ),
    "a left join to what has one row": (
        f"select count(*) as answer from {CARDS} c left join (select distinct account_id as a from {LOANS}) l on l.a = c.account_id",
        {},
    ),
    "whether a key is there": (
        f"select c.card_type as answer from {CARDS} c left join {LOANS} l on l.account_id = c.account_id where l.account_id is null",
        {"presences": {"loans.account_id"}, "keys": {"loans.account_id", "cards.account_id"}},
    ),
    "whether a key says something": (
        f"select card_type as answer from {CARDS} where trim(card_id) <> '' group by card_id, card_type",
        {"presences": {"cards.card_id"}, "keys": {"cards.card_id", "cards.card_type"}},
    ),
    "whether a value that is no key is there": (
        f"select card_type as answer from {CARDS} where days_past_due is not null",
        {"presences": {"cards.days_past_due"}},
    ),
    "a select inside a filter": (
        f"select card_type as answer from {CARDS} c where exists "
        f"(select 1 from {LOANS} l where l.account_id = c.account_id and l.status = 'active')",
        {"filters": {"loans.account_id", "cards.account_id", "loans.status"}},
    ),
    "a select before it": (
        f"with rich as (select account_id from {BALANCES} where balance_base > 1000000) "
        f"select c.card_type as answer from {CARDS} c join rich on rich.account_id = c.account_id",
        {"filters": {"balances.balance_base"}, "keys": {"balances.account_id", "cards.account_id"}},
    ),
    "the first rows of an order": (
        f"select card_type as answer from {CARDS} order by issued_on limit 10",
        {"filters": {"cards.issued_on"}},
    ),
    "one that is given as of a day": (
        f"select card_type as answer from {CARDS} where valid_from <= {{{{ business_date() }}}} and _arrived_on is not null",
        {},
    ),
}


@pytest.mark.parametrize(("sql", "columns"), CASES.values(), ids=CASES)
def test_what_decides_rows_is_told_from_what_a_value_comes_from(tmp_path, sql, columns):
    assert deciding(tmp_path, sql) == columns
    if "count(*)" not in sql:
        assert Lineage([tmp_path]).sources("int_drawn", "answer") == {"trusted.cards.card_type"}


def test_models_between_are_followed(tmp_path):
    (tmp_path / "int_first.sql").write_text(
        f"select account_id, card_type from {CARDS} where status = 'active'"
    )
    sql = "select max(card_type) as answer from {{ ref('int_first') }} where card_type <> 'x' group by account_id"
    assert deciding(tmp_path, sql) == {
        "filters": {"cards.status", "cards.card_type"},
        "keys": {"cards.account_id"},
    }


def test_of_a_union_only_the_branches_decide_whose_rows_are_meant():
    lineage_of_models = compile_tags(None).lineage
    status = "trusted.cards.status"
    names = ["credit_class", "credit_kind"]
    assert status in lineage_of_models.deciding("int_credits_keyed", names, {"credit_kind": "card"}).all
    assert status not in lineage_of_models.deciding("int_credits_keyed", names, {"credit_kind": "loan"}).all


MODEL = """
select distinct people.one_id, true as is_rich
from {{ ref('int_people') }} people
join {{ ref('int_account_owners') }} owners on owners.one_id = people.one_id
join {{ ref('stg_trusted__balances') }} balances on balances.source = owners.source and balances.account_id = owners.account_id
where CONDITION
"""
TAG = """
family: site
tags:
  - code: is_rich
    name: {zh: 富裕, en: Rich}
    definition: {zh: 说明, en: Meaning}
    kind: fact
    value: {type: boolean}
    null_rule: Z
    default: false
    level: C1
    purposes: [service]
    inputs: [trusted.balances.product_class]
    compute: {column: {from: int_rich, of: is_rich}}
    owner: data
    version: 1.0.0
    status: online
"""


def workspace_of(make_workspace, condition, tag=TAG):
    columns = "[{name: one_id}, {name: is_rich}]"
    return make_workspace(
        {
            "models/int_rich.sql": MODEL.replace("CONDITION", condition),
            "models/int_rich.yml": f"version: 2\nmodels:\n  - name: int_rich\n    config: {{meta: {{key: [one_id]}}}}\n    columns: {columns}\n",
            "tags/site.yml": tag,
        }
    )


def test_a_level_follows_the_filters_of_a_model(make_workspace):
    folder = workspace_of(make_workspace, "balances.balance_base > 1000000")
    with pytest.raises(
        SettingsInvalid, match=r"level C1 is lower than that of trusted.balances.balance_base \(C2\)"
    ):
        compile_tags(folder)
    declassified = TAG.replace(
        "    purposes", "    declassified: {to: C1, why: a test, approver: privacy}\n    purposes"
    )
    compile_tags(workspace_of(make_workspace, "balances.balance_base > 1000000", declassified))


def test_whether_something_is_there_tells_of_a_person_where_it_is_no_key(make_workspace):
    with pytest.raises(SettingsInvalid, match=r"lower than that of trusted.balances.balance_base \(C2\)"):
        compile_tags(workspace_of(make_workspace, "balances.balance_base is not null"))


def test_a_level_does_not_follow_what_only_brings_rows_together(make_workspace):
    columns = lineage(compile_tags(workspace_of(make_workspace, "owners.account_id is not null")))["is_rich"]
    assert columns.values == ("trusted.balances.product_class",)
    assert {"trusted.balances.account_id", "trusted.relationships.from_key"} <= set(columns.deciding)


def test_the_catalogue_says_what_an_answer_comes_from_and_what_decides_its_rows():
    columns = lineage(compile_tags(None))
    assert columns["wealth_funnel_break_7d"].deciding == ("trusted.events.source_key",)
    payroll = columns["payroll_retention_ratio_7d"]
    assert "trusted.transactions.amount_base" in payroll.values
    assert {"trusted.transactions.account_id", "trusted.relationships.ended_on"} <= set(payroll.deciding)
    # Through the tags that a tag reads, and of people who belong to one through the model that says so.
    assert set(columns["age"].deciding) <= {*columns["age_band"].values, *columns["age_band"].deciding}
    assert columns["product_holder_count"].deciding and columns["branch_active_customer_count"].deciding
    for code, one in columns.items():
        assert not set(one.values) & set(one.deciding), code
        assert not [name for name in one.deciding if name.startswith("identity.")], code
