"""Conditions over attributes: what may be asked of one is what may be asked of a column of its type; else file and line."""

from __future__ import annotations

import json

import pytest
from segment_bank import spec

from lakehouse.errors import SettingsInvalid
from segments.language.spec import read_segment

ATTRIBUTES = """\
attributes:
  - {code: plan, entity: customer, type: string, level: C1, domain: [BASIC, PLUS], name: {zh: 套餐, en: Plan}}
  - {code: fee, entity: customer, type: decimal, level: C2, name: {zh: 月费, en: Fee}}
  - {code: ends_on, entity: customer, type: date, level: C2, name: {zh: 到期日, en: End}}
  - {code: is_5g, entity: customer, type: boolean, level: C1, name: {zh: 是否5G, en: Uses 5G}}
  - {code: tier, entity: account, type: string, level: C1, name: {zh: 等级, en: Tier}}
"""


@pytest.fixture
def segment(make_workspace):
    """A function that reads a segment with one condition."""

    def read(condition):
        body = f"unknown: exclude\nwhere: {json.dumps(condition)}"
        return read_segment(
            make_workspace({"attributes.yml": ATTRIBUTES, "segments/x.yml": spec("x", body)})
            / "segments"
            / "x.yml"
        )

    return read


@pytest.mark.parametrize(
    "condition",
    [
        {
            "detail": {
                "from": "customers",
                "match": {"plan": ["BASIC", "PLUS"], "fee": {"gte": 10}, "is_5g": True},
            }
        },
        {
            "detail": {
                "from": "customers",
                "match": {"ends_on": {"days_ahead": {"between": [0, 60]}}},
                "sum": {"of": "fee", "gte": 9.5},
            }
        },
        {"detail": {"from": "accounts", "match": {"tier": {"ne": "GOLD"}, "status": "open"}}},
        {"date": {"from": "customers", "of": "ends_on", "pick": "next", "days_ahead": {"lte": 30}}},
    ],
)
def test_an_attribute_is_asked_as_a_column_and_may_be_unknown(segment, condition):
    leaf = segment(condition).where
    assert leaf.can_be_unknown
    assert leaf.normal() == segment(condition).where.normal()


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"detail": {"from": "customers", "match": {"plann": "PLUS"}}}, "E01 customers has no column 'plann'; did you mean 'plan'?"),
        ({"detail": {"from": "customers", "match": {"tier": "A"}}}, "E01 customers has no column 'tier'"),
        ({"detail": {"from": "customers", "match": {"plan": "GOLD"}}}, "E02 plan has no value 'GOLD'"),
        ({"detail": {"from": "customers", "match": {"plan": {"gte": 3}}}}, "E03 plan: "),
        ({"detail": {"from": "customers", "match": {"fee": "much"}}}, "E03 fee: "),
        ({"detail": {"from": "customers", "match": {"is_5g": {"gt": 1}}}}, "E03 is_5g: "),
        ({"detail": {"from": "customers", "sum": {"of": "plan", "gte": 1}}}, "E03 'sum' adds numbers, and plan is a category"),
        ({"detail": {"from": "customers", "sum": {"of": "fees", "gte": 1}}}, "E01 customers has no column 'fees'; did you mean 'fee'?"),
        ({"detail": {"from": "attributes", "match": {"plan": "PLUS"}}}, "write an attribute as a column of the table of its entity, such as customers"),
        ({"date": {"from": "customers", "of": "fee", "pick": "next", "days_ahead": {"lte": 30}}}, "E01 customers has no date 'fee'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_it_is_refused_with_its_place(segment, condition, says):
    with pytest.raises(SettingsInvalid) as fault:
        segment(condition)
    assert says in str(fault.value)
    assert "segments/x.yml:" in str(fault.value)


def test_a_fault_of_the_declaration_is_named_where_it_stands(make_workspace):
    body = "unknown: exclude\nwhere: {detail: {from: customers, match: {plan: PLUS}}}"
    workspace = make_workspace(
        {
            "attributes.yml": ATTRIBUTES.replace("type: decimal", "type: money"),
            "segments/x.yml": spec("x", body),
        }
    )
    with pytest.raises(SettingsInvalid, match=r"attributes.yml:3: 'attributes.1.type'"):
        read_segment(workspace / "segments" / "x.yml")
