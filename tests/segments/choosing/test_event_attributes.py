"""Segments ask declared properties of events as columns of their type, and undeclared ones as before."""

from __future__ import annotations

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, fill_rows, publish, spec

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from segments.language.spec import read_segment

ATTRIBUTES = """\
attributes:
  - {code: scene, entity: event, type: string, level: C1, domain: [a, c], name: {zh: 场景, en: Scene}}
  - {code: price, entity: event, type: decimal, level: C2, name: {zh: 价格, en: Price}}
  - {code: vip, entity: event, type: boolean, level: C1, name: {zh: 是否会员, en: Member}}
"""
# Whoever has a view with it, and whoever may have: 2 has {"scene": "a", "price": 50, "vip": true}, 3 {"scene": "b"}, 4 no JSON.
CONDITIONS = {
    "by_property": "{event: {name: wealth_view, within_days: 9, properties: {scene: a, price: {gte: 49.5}, vip: true}}}",
    "by_column": "{event: {name: wealth_view, within_days: 9, match: {scene: a, price: {gte: 49.5}, vip: true}}}",
    "by_sum": "{event: {name: wealth_view, within_days: 9, sum: {of: price, gte: 50}}}",
    "by_most": "{event: {name: wealth_view, within_days: 9, match: {scene: a}, max: {of: price, lt: 51}}}",
    "by_undeclared": "{event: {name: wealth_view, within_days: 9, properties: {colour: {is_null: true}, scene: a}}}",
    # A value outside the domain is none, so b is unknown and not another scene.
    "by_other_scene": "{event: {name: wealth_view, within_days: 9, properties: {scene: {ne: a}}}}",
}


def chosen(lake, code):
    """Give the people whom a segment chose, those who were kept out among them."""
    rows = [
        *lake.read_arrow("segments.members").to_pylist(),
        *lake.read_arrow("segments.suppressions").to_pylist(),
    ]
    return {row["one_id"] for row in rows if row["code"] == code}


def test_declared_properties_choose_people_as_columns_do(make_workspace):
    folder = make_workspace(
        {
            "cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "attributes.yml": ATTRIBUTES,
            **{f"segments/{code}.yml": spec(code, f"unknown: exclude\nwhere: {text}") for code, text in CONDITIONS.items()},
        }
    )  # fmt: skip
    lake = bank_lake(load_settings(folder))
    fill_rows(lake)
    publish(lake, D)
    assert {code: chosen(lake, code) for code in CONDITIONS} == {
        "by_property": {2}, "by_column": {2}, "by_sum": {2}, "by_most": {2}, "by_undeclared": {2}, "by_other_scene": set(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("properties: {scene: b}", "E02 properties.scene has no value 'b'"),
        ("properties: {price: much}", "E03 properties.price: "),
        ("properties: {vip: {gte: 1}}", "E03 properties.vip: "),
        ("match: {scen: a}", "E01 events has no column 'scen'; did you mean 'scene'?"),
        ("sum: {of: scene, gte: 1}", "E03 'sum' adds numbers, and scene is a category"),
    ],
)
def test_what_cannot_be_asked_of_a_declared_property_is_refused_with_its_line(
    make_workspace, condition, says
):
    body = f"unknown: exclude\nwhere: {{event: {{name: wealth_view, within_days: 9, {condition}}}}}"
    folder = make_workspace({"attributes.yml": ATTRIBUTES, "segments/x.yml": spec("x", body)})
    with pytest.raises(SettingsInvalid) as fault:
        read_segment(folder / "segments" / "x.yml")
    assert says in str(fault.value) and fault.value.line
