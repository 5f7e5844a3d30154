"""Declared properties of events: read from their JSON by both engines alike, and in tags as columns with type, level and domain."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from ingestion.feeds.feeds import load_feeds
from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.duckdb import duckdb_query, function_statements
from lakehouse.query.desk import new_connection
from lakehouse.query.words import spark_literal
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.compile.compilation import compile_tags
from tests.tags.drawn import write
from vocabulary.attributes import Attribute, property_sql, read_attributes

D = dt.date(2026, 3, 31)
TYPES = ("string", "int", "decimal", "ratio", "boolean", "date")
# JSON, and by type what it says; what is not named is null.
VALUES = {
    '{"a": 12}': {"string": "12", "int": 12, "decimal": Decimal("12.00"), "ratio": Decimal("12.000000")},
    '{"a": "0012"}': {"string": "0012", "int": 12, "decimal": Decimal("12.00"), "ratio": Decimal("12.000000")},
    '{"a": -2.675}': {"string": "-2.675", "decimal": Decimal("-2.68"), "ratio": Decimal("-2.675000")},
    '{"a": 3.0}': {"string": "3.0", "int": 3, "decimal": Decimal("3.00"), "ratio": Decimal("3.000000")},
    '{"a": "1E2"}': {"string": "1E2", "int": 100, "decimal": Decimal("100.00"), "ratio": Decimal("100.000000")},
    '{"a": "1.0000005"}': {"string": "1.0000005", "decimal": Decimal("1.00"), "ratio": Decimal("1.000001")},
    '{"a": "123456789012345678"}': {"string": "123456789012345678", "int": 123456789012345678},
    '{"a": "99999999999999999999"}': {"string": "99999999999999999999"},
    '{"a": true}': {"string": "true", "boolean": True},
    '{"a": "False"}': {"string": "False", "boolean": False},
    '{"a": "yes"}': {"string": "yes"},
    '{"a": "2026-02-28"}': {"string": "2026-02-28", "date": dt.date(2026, 2, 28)},
    '{"a": "2026-02-30"}': {"string": "2026-02-30"},
    '{"a": "2026-2-3"}': {"string": "2026-2-3"},
    '{"a": " 1"}': {"string": " 1"},
    '{"a": "NaN"}': {"string": "NaN"},
    '{"a": "GOLD"}': {"string": "GOLD", "domain": "GOLD"},
    '{"a": ""}': {"string": ""},
    '{"a": null}': {},
    '{"b": 1}': {},
    "no json": {},
    "": {},
}  # fmt: skip


def attribute(kind, domain=None):
    names = {"zh": "属性", "en": "Property"}
    return Attribute.model_validate(
        {"code": "a", "entity": "event", "type": kind, "level": "C1", "name": names, "domain": domain}
    )


def values_sql():
    columns = [f"{property_sql(attribute(kind), 'r')} AS of_{kind}" for kind in TYPES]
    of_domain = property_sql(attribute("string", ["GOLD", "it's"]), "r")
    columns.append(f"{of_domain} AS of_domain")
    # DuckDB and Spark have other names for the columns of VALUES.
    rows = " UNION ALL ".join(
        f"SELECT {at} AS at, {spark_literal(text)} AS properties" for at, text in enumerate((*VALUES, None))
    )
    return f"SELECT {', '.join(columns)} FROM ({rows}) r ORDER BY r.at"


EXPECTED = [tuple(value.get(kind) for kind in (*TYPES, "domain")) for value in (*VALUES.values(), {})]


def test_duckdb_reads_a_property_as_its_type():
    connection = new_connection()
    for statement in function_statements():
        connection.execute(statement)
    assert connection.execute(duckdb_query(values_sql())).fetchall() == EXPECTED


@pytest.mark.slow
def test_spark_reads_a_property_as_its_type(spark):
    assert [tuple(row) for row in spark.sql(values_sql()).collect()] == EXPECTED


ATTRIBUTES = """\
attributes:
  - {code: scene, entity: event, type: string, level: C1, domain: [LOAN, FUND], name: {zh: 场景, en: Scene}}
  - {code: price, entity: event, type: decimal, level: C2, name: {zh: 价格, en: Price}}
  - {code: results, entity: event, type: int, level: C1, name: {zh: 结果数, en: Results}}
"""
TAG = """
  - code: {code}
    name: {{zh: "{code} 测试", en: "{code} test"}}
    definition: {{zh: 测试, en: Test}}
    kind: fact
    value: {value}
    null_rule: {null_rule}
    level: {level}
    purposes: [service]
    inputs: [{inputs}]
    compute: {{aggregate: {{from: trusted.events, {form}}}}}
    owner: data
    version: 1.0.0
    status: online
"""
DEFAULTS = {
    "code": "loan_searches", "value": "{type: int}", "null_rule": "Z", "level": "C1", "inputs": "trusted.events.scene, trusted.events.results",
    "form": "measure: count, where: scene = 'LOAN' and results >= 1, window_days: 30",
}  # fmt: skip
PRICE = {
    "code": "seen_price", "value": "{type: decimal}", "null_rule": "NA", "level": "C2", "inputs": "trusted.events.price",
    "form": "measure: max, of: price",
}  # fmt: skip


def workspace_of(make_workspace, *changes, **settings):
    """A workspace with tags over properties: those of each changes, over the defaults."""
    text = "family: site\ntags:" + "".join(TAG.format(**{**DEFAULTS, **change}) for change in changes)
    packs = "packs: {base: off, bank: off, retail: off, interest: off}\n"
    return make_workspace(
        {"attributes.yml": ATTRIBUTES, "tags/site.yml": text, "cdp.yml": f"generate_secrets: true\n{packs}", **settings}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        ({**PRICE, "level": "C1"}, 9, "level C1 is lower than that of trusted.events.price (C2)"),
        ({"form": "measure: count, where: scene = 'LOANS'"}, 12, "'LOANS'"),
        ({"inputs": "trusted.events.scene"}, 12, "reads trusted.events.results, which 'inputs' does not list"),
        ({"inputs": "trusted.events.scenes"}, 11, "trusted.events has no column 'scenes'; did you mean 'scene'?"),
        ({**PRICE, "form": "measure: sum, of: scene", "inputs": "trusted.events.scene"}, 12, "which is a string and no number"),
        ({"form": "measure: count, where: colour = 'red'"}, 12, "colour"),
    ],
)  # fmt: skip
def test_a_declared_property_is_checked_as_a_column(make_workspace, change, line, message):
    with pytest.raises(SettingsInvalid) as refusal:
        compile_tags(workspace_of(make_workspace, change))
    assert message in str(refusal.value) and f"site.yml:{line}:" in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_tags_over_properties_are_computed(engine, make_workspace, request):
    import tags as room

    folder = workspace_of(make_workspace, {}, PRICE)
    spark = request.getfixturevalue("spark") if engine == "spark" else None
    lake = open_lake(load_settings(folder, engine=engine), spark=spark)
    write(lake, "identity.one_ids", [
        {"one_id": at, "anchor_profile_id": at, "created_on": "2026-01-01", "kind": "customer", "status": "active", "profile_count": 1} for at in (1, 2, 3)
    ])  # fmt: skip
    write(lake, "identity.memberships", [
        {"one_id": at, "source_key": name, "profile_id": at} for at, name in enumerate(("ann", "bob", "cat"), start=1)
    ])  # fmt: skip
    properties = (
        ("ann", '{"scene": "LOAN", "results": 3, "price": 1.005}'), ("ann", '{"scene": "LOAN", "results": "1", "price": "much"}'),
        ("ann", '{"scene": "LOAN", "results": 0}'), ("ann", '{"scene": "loan", "results": 3}'), ("ann", None),
        ("bob", '{"scene": "FUND", "results": 3, "price": 7}'), ("bob", "no json"), ("bob", '{"scene": ["LOAN"], "results": 2.5}'),
    )  # fmt: skip
    write(lake, "trusted.events", [
        {"event_id": f"e{at}", "source_key": name, "event_name": "search", "properties": text, "occurred_on": "2026-03-30", "occurred_at": "2026-03-30T08:00:00"}
        for at, (name, text) in enumerate(properties)
    ])  # fmt: skip
    room.build_tags(lake, D)
    rows = {row["one_id"]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
    assert {one_id: (row["loan_searches"], row["seen_price"]) for one_id, row in rows.items()} == {
        1: (2, Decimal("1.01")), 2: (0, Decimal("7.00")), 3: (0, None),
    }  # fmt: skip


FEED = """\
feed: app
source: app
description: Events of the app.
mode: events
files: {path: "app/{date}/*.csv"}
format: {type: csv}
columns: [id, who, what, at]
targets:
  - table: trusted.attributes
    entity: event
    key: id
    attributes: {scene: what}
"""


def test_no_feed_fills_a_property(make_workspace):
    folder = make_workspace({"attributes.yml": ATTRIBUTES, "feeds/app.yml": FEED})
    with pytest.raises(
        SettingsInvalid,
        match=r"the attributes of an event are its properties; map properties of trusted.events",
    ):
        load_feeds(folder)


def test_a_property_is_declared_like_any_attribute(make_workspace):
    wrong = (
        "attributes:\n  - {code: amount, entity: event, type: int, level: C1, name: {zh: 金额, en: Amount}}\n"
    )
    with pytest.raises(SettingsInvalid, match=r"trusted.events has a column 'amount' already"):
        read_attributes(make_workspace({"attributes.yml": wrong}))
    with pytest.raises(SettingsInvalid, match=r"there is no entity 'events'; did you mean 'event'\?"):
        read_attributes(
            make_workspace({"attributes.yml": wrong.replace("entity: event", "entity: events")}, name="other")
        )
