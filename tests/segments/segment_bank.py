"""A bank of a dozen people, drawn as tables: tags, memberships, consents, controls, events."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import tempfile
from decimal import Decimal
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

import tags
from delivery import directory_audiences, worklist_audiences
from delivery.destinations import read_destinations
from delivery.night import release, stage
from delivery.standing import standing_runs
from lakehouse.contracts.reading import build_contract, contract
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake, open_lake
from segments import permissions, recalled_audiences
from segments.choosing.evaluation import evaluate
from segments.language.catalogue import read_catalogue
from segments.language.checks.findings import Surroundings
from vocabulary.tag_facts import read_tag_facts

TAGS_YML = """\
family: test
tags:
  - {code: tier, value: {type: string, domain: [T1, T2, T3]}, null_rule: NA, level: C1, purposes: [marketing, service], status: online, version: 1.2.0, replaces: old_tier}
  - {code: balance, value: {type: decimal, min: 0, max: 1000000}, null_rule: Z, level: C2, purposes: [marketing, service], status: online, version: 1.0.0}
  - {code: days_left, value: {type: int, min: 0, max: 3650}, null_rule: NA, level: C1, purposes: [marketing], status: online, version: 1.0.0}
  - {code: interests, value: {type: string, domain: [FUND, GOLD, CARD], cardinality: set}, null_rule: Z, level: C1, purposes: [marketing], status: online, version: 1.0.0}
  - {code: is_active, value: {type: boolean}, null_rule: Z, level: C1, purposes: [marketing, service], status: online, version: 1.0.0}
  - {code: opened_on, value: {type: date}, null_rule: U, level: C1, purposes: [marketing], status: online, version: 1.0.0}
  - {code: grade, value: {type: string, domain: [L, M, H]}, null_rule: U, level: C2, purposes: [risk_only], status: online, version: 1.0.0}
  - {code: sketch, value: {type: int}, null_rule: U, level: C1, purposes: [marketing], status: draft, version: 1.0.0}
  - {code: old_tier, value: {type: int}, null_rule: Z, level: C1, purposes: [marketing], status: deprecated, version: 1.0.0, deprecated_on: 2026-01-01}
"""
DESTINATIONS_YML = """\
destinations:
  engine: {description: the marketing engine, ceiling: C2}
  open_engine: {description: an engine for open facts, ceiling: C1}
"""

SPEC = """\
spec: segment/v1
code: {code}
version: {version}
name: {{zh: 测试, en: Test}}
owner: {{business: retail, tech: data}}
entity: customer
kind: {kind}
purpose: {purpose}
{body}
contact: {{channels: [SMS, PUSH]}}
publish: {{destinations: [engine], format: {format}, columns: [{columns}]}}
"""


def spec(code: str, body: str, **changes: str) -> str:
    """A specification around ``body``, the part of the rule."""
    values = {
        "version": "1.0.0", "kind": "dynamic", "purpose": "marketing", "format": "parquet", "columns": "variant, channel",
    }  # fmt: skip
    return SPEC.format(code=code, body=body.strip(), **{**values, **changes})


COLUMNS = {
    "one_id": "bigint",
    "tier": "string",
    "balance": "decimal(18,2)",
    "days_left": "int",
    "interests": "array<string>",
    "is_active": "boolean",
    "opened_on": "date",
    "grade": "string",
}
# one_id | tier | balance | days left | interests | active | opened | grade
TAGS = """
1 | T3 |  900.00 |    3 | FUND,GOLD | true  | 2026-11-10 | L
2 | T2 |  200.00 |   10 | FUND      | false | 2026-08-01 | L
3 | T1 |   50.00 |    - |           | true  | 2020-01-01 | -
4 | -  |  200.00 |    - |           | false | -          | -
5 | T3 |  800.00 |    5 | GOLD      | true  | 2026-11-01 | H
6 | T3 |  700.00 |    7 | CARD      | true  | 2026-10-20 | L
7 | T3 |  600.00 |    1 | FUND,CARD | true  | 2026-11-19 | L
8 | T2 |  500.00 |    2 | GOLD      | true  | 2026-11-15 | L
9 | T3 |  400.00 |    0 |           | true  | 2026-11-16 | L
10| T3 |  300.00 |    4 | FUND      | true  | 2026-11-17 | L
11| T2 |  250.00 |    6 | FUND      | true  | 2026-11-18 | L
12| T3 |  150.00 |    8 | GOLD      | true  | 2026-11-12 | L
"""
D = dt.date(2026, 11, 18)


def surroundings(settings) -> Surroundings:
    """What the specifications of a workspace may name."""
    destinations = read_destinations(settings.workspace)
    facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
    worklists = frozenset(name for name, place in destinations.items() if place.kind == "worklist")
    return Surroundings(
        facts, {name: place.ceiling for name, place in destinations.items()}, worklists=worklists
    )


def catalogue_of(settings, known_hashes=None, **published):
    """The specifications of a workspace with what they are checked against; ``published`` is what a publication adds."""
    around = dataclasses.replace(surroundings(settings), **published)
    return read_catalogue(settings, around, known_hashes=known_hashes or {})


def publish(lake, day):
    """One night of segments, released at once."""
    result = evaluate(lake, day, surroundings(lake.settings))
    release(lake, staged(lake, day, result))
    return result


def staged(lake, day, result):
    """What a night stages of its audiences, with the recalls of those it does not replace."""
    destinations = read_destinations(lake.settings.workspace)
    standing = standing_runs(lake, day, result.audiences, destinations)
    every = (*result.audiences, *recalled_audiences(lake, day, standing))
    directories = directory_audiences(
        lake, day, every, standing, destinations, partial(permissions, lake, day)
    )
    return stage(lake, (*worklist_audiences(lake, every, destinations), *directories), destinations)


def read_tags(text: str = TAGS) -> list[dict]:
    """The drawn tag table as rows."""
    rows = []
    for line in text.strip().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        given = [None if cell == "-" else cell for cell in cells]
        rows.append(
            {
                "one_id": int(given[0]),
                "tier": given[1],
                "balance": Decimal(given[2]),
                "days_left": None if given[3] is None else int(given[3]),
                "interests": sorted(x for x in (given[4] or "").split(",") if x),
                "is_active": given[5] == "true",
                "opened_on": None if given[6] is None else dt.date.fromisoformat(given[6]),
                "grade": given[7],
            }
        )
    return rows


def tag_contracts() -> list:
    """The wide tag tables of the drawn tags: the registry makes their contracts, here the test does."""
    contracts = []
    for name, extra in (("tags.customer_tags", {}), ("tags.customer_tags_daily", {"as_of": "date"})):
        columns = {n: {"type": t, "description": "test"} for n, t in {**COLUMNS, **extra}.items()}
        about = {"description": "test", "grain": "one row per OneID", "shape": "derived", "owner": "test"}
        tree = {"table": name, "key": ["one_id", *extra], "columns": columns, **about}
        contracts.append(build_contract(tree))
    return contracts


def rows_of(table: str, rows: list[dict]) -> pa.Table:
    """Rows of a table; pipeline columns and what is not named are filled in plainly."""
    schema = contract(table).arrow_schema()
    plain = {"source": "core", "_feed": "f", "_file": "x", "_row": 1, "valid_from": D, "_arrived_on": D}
    plain |= {
        "profile_id": 0,
        "anchor_profile_id": 0,
        "created_on": D,
        "status": "active",
        "profile_count": 1,
    }
    filled = [{**{k: v for k, v in plain.items() if k in schema.names}, **row} for row in rows]
    return pa.Table.from_pylist(filled, schema=schema)


def at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)


def bank_lake(settings, rows: list[dict] | None = None) -> Lake:
    """The lake of a workspace with the bank of 2026-11-18, as ``fill`` draws it, and with ``rows`` of tags where they are given.

    It is a copy of one that is drawn once a process.
    """
    shutil.copytree(_drawn_lake().name, settings.lake, dirs_exist_ok=True)
    lake = lake_of(settings)
    if rows is not None:
        write_tags(lake, rows, D)
    return lake


def lake_of(settings) -> Lake:
    """The lake of a workspace, whose tables are there, with the contracts of the drawn tags."""
    lake = Lake(settings)
    lake.contracts.add(*tag_contracts())
    return lake


@cache
def _drawn_lake() -> tempfile.TemporaryDirectory:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cdp.yml").write_text("generate_secrets: true\n")
        settings = load_settings(Path(folder))
        fill(open_lake(settings, contracts=tag_contracts()))
        drawn = tempfile.TemporaryDirectory()
        shutil.copytree(settings.lake, drawn.name, dirs_exist_ok=True)
    return drawn


def fill(lake, rows: list[dict] | None = None) -> None:
    """Put the bank of 2026-11-18 into a lake: everybody has a phone, an app and consents, but for a few."""
    people = range(1, 13)
    lake.create(["tags.customer_tags", "tags.customer_tags_daily"])
    write_tags(lake, rows or read_tags(), D)
    lake.append("identity.memberships", rows_of("identity.memberships", [
        {"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in people]))  # fmt: skip
    lake.append("identity.one_ids", rows_of("identity.one_ids", [
        {"one_id": n, "kind": "prospect" if n == 12 else "customer"} for n in people]))  # fmt: skip
    lake.append("trusted.customers", rows_of("trusted.customers", [
        {"source_key": f"c{n}", "kind": "customer",
         "birth_date": dt.date(2010, 1, 1) if n == 6 else dt.date(1980, 1, 1),
         "deceased_on": dt.date(2026, 1, 1) if n == 7 else None, "is_staff": n == 8} for n in people]))  # fmt: skip
    lake.append("trusted.account_controls", rows_of("trusted.account_controls", [
        {"control_id": "1", "source_key": "c5", "control_type": "AML_GRADE", "grade": "H", "started_on": dt.date(2026, 1, 1)},
        {"control_id": "2", "source_key": "c1", "control_type": "AML_GRADE", "grade": "L", "started_on": dt.date(2026, 1, 1)},
        {"control_id": "3", "source_key": "c1", "control_type": "FRAUD", "started_on": dt.date(2026, 1, 1),
         "ended_on": dt.date(2026, 2, 1)}]))  # fmt: skip
    consents = [
        {"source_key": f"c{n}", "purpose": "marketing", "channel": "ALL", "decision": "GRANT", "decided_at": at("2026-01-01")}
        for n in people if n not in (9,)
    ]  # fmt: skip
    consents += [
        {"source_key": "c10", "purpose": "marketing", "channel": "SMS", "decision": "REFUSE", "decided_at": at("2025-01-01")},
        {"source": "app", "source_key": "a11", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE",
         "decided_at": at("2026-06-01")},
    ]  # fmt: skip
    lake.append("identity.memberships", rows_of("identity.memberships", [
        {"one_id": 11, "source": "app", "source_key": "a11", "profile_id": 111}]))  # fmt: skip
    lake.append("trusted.consents", rows_of("trusted.consents", consents))
    lake.append("trusted.identifier_observations", rows_of("trusted.identifier_observations", [
        {"source_key": f"c{n}", "namespace": "phone", "value": f"1380000{n:04d}", "role": "identity"} for n in people if n != 2
    ] + [{"source_key": "c10", "namespace": "app_user_id@app", "value": "u10", "role": "identity"}]))  # fmt: skip
    lake.append("trusted.events", rows_of("trusted.events", [
        {"event_id": f"{n}-{day}", "source_key": f"c{n}", "event_name": "wealth_view", "channel": "APP",
         "occurred_at": at(f"2026-11-{day:02d}"), "occurred_on": dt.date(2026, 11, day)}
        for n, day in [(1, 18), (1, 12), (1, 11), (3, 5), (10, 17), (10, 19)]]))  # fmt: skip


def fill_rows(lake) -> None:
    """Add what leaves over rows ask about: accounts with holdings, balances and bookings, cards, purchases, answers."""
    day = dt.date(2026, 11, 1)
    lake.append("trusted.relationships", rows_of("trusted.relationships", [
        {"relationship_type": "person_account", "from_source": "core", "from_key": f"c{n}", "to_source": "core", "to_key": f"a{n}",
         "role": "owner", "valid_from": day} for n in (1, 2, 3, 5)]))  # fmt: skip
    holdings = [
        ("1", "a1", "wealth", "50.00", "5.0", dt.date(2026, 11, 20)), ("2", "a1", "fund", "20.00", None, None),
        ("3", "a2", "wealth", "60.00", None, dt.date(2026, 11, 25)), ("4", "a3", "wealth", "10.00", "2.0", dt.date(2026, 11, 24)),
        ("5", "a5", "wealth", "10.00", "9.0", dt.date(2026, 11, 10)),
    ]  # fmt: skip
    lake.append("trusted.holdings", rows_of("trusted.holdings", [
        {"holding_id": h, "account_id": a, "product_class": c, "balance": Decimal(b), "quantity": Decimal(q) if q else None,
         "matures_on": m, "currency": "CNY", "status": "active", "valid_from": day, "product_id": f"p{h}"} for h, a, c, b, q, m in holdings]))  # fmt: skip
    lake.append("trusted.products", rows_of("trusted.products", [
        {"product_id": p, "product_class": "goods", "status": "on_sale", "category": category, "valid_from": day}
        for p, category in (("p1", "gold"), ("p3", "tea"), ("p4", None))]))  # fmt: skip
    lake.append("trusted.attributes", rows_of("trusted.attributes", [
        {"entity": "product", "entity_key": "p3", "attribute": "issuer", "value_type": "string", "value": "North", "valid_from": day}]))  # fmt: skip
    lake.append("trusted.orders", rows_of("trusted.orders", [
        {"order_id": f"o{n}", "source_key": f"c{n}", "ordered_on": dt.date(2026, 11, 12), "currency": "CNY", "channel": channel, "status": "paid"}
        for n, channel in ((1, "APP"), (2, "WEB"), (3, "APP"))]))  # fmt: skip
    lake.append("trusted.order_lines", rows_of("trusted.order_lines", [
        {"order_id": order, "line_number": at_place, "product_id": product, "quantity": Decimal(1), "unit_price": Decimal(9),
         "amount": Decimal(9), "currency": "CNY", "ordered_on": dt.date(2026, 11, 12)}
        for order, at_place, product in (("o1", 1, "p1"), ("o1", 2, "p3"), ("o2", 1, "p1"), ("o3", 1, "p4"), ("o9", 1, "p1"))]))  # fmt: skip
    lake.append("trusted.balances", rows_of("trusted.balances", [
        {"account_id": a, "product_class": "demand", "balance_on": dt.date(2026, 11, d), "balance": Decimal(b),
         "balance_base": Decimal(b), "currency": "CNY"}
        for a, d, b in (("a1", 10, "5.00"), ("a1", 12, "25.00"), ("a2", 3, "15.00"))]))  # fmt: skip
    lake.append("trusted.cards", rows_of("trusted.cards", [
        {"card_id": "k1", "source_key": None, "account_id": "a2", "card_type": "credit", "status": "ACTIVE", "currency": "CNY",
         "valid_from": day}]))  # fmt: skip
    lake.append("trusted.transactions", rows_of("trusted.transactions", [
        {"transaction_id": "t1", "account_id": "a3", "transacted_on": dt.date(2026, 11, 12), "amount": Decimal(9), "currency": "CNY",
         "direction": "credit", "amount_base": Decimal(9), "transaction_type": "PAYROLL", "initiator": "B"}]))  # fmt: skip
    lake.append("trusted.events", rows_of("trusted.events", [
        {"event_id": f"x{n}{minute}", "source_key": f"c{n}", "event_name": name, "channel": channel, "amount": amount and Decimal(amount),
         "properties": properties, "occurred_at": at("2026-11-17") + dt.timedelta(minutes=minute), "occurred_on": dt.date(2026, 11, 17)}
        for n, name, minute, channel, amount, properties in [
            (2, "wealth_view", 0, "APP", None, '{"scene": "a", "price": 50, "vip": true}'), (2, "buy", 9, "APP", "20.00", None),
            (3, "wealth_view", 0, "APP", "5.00", '{"scene": "b"}'), (4, "wealth_view", 0, "APP", "50.00", "no json"),
            (4, "buy", 10, "APP", None, None), (4, "wealth_view", 20, "WEB", None, None), (5, "wealth_view", 1430, "APP", None, None),
            (5, "buy", 1439, "APP", None, None)]]))  # fmt: skip
    lake.append("segments.recipients", rows_of("segments.recipients", [
        {"destination": "engine", "recipient_key": "key2", "one_id": 2, "since": day}]))  # fmt: skip
    lake.append("segments.deliveries", rows_of("segments.deliveries", [
        {"run_id": "old", "destination": "engine", "code": "rich", "as_of": day, "seq": 1, "attempt": 1, "status": "DELIVERED",
         "accepted": 1, "rejected": 0, "manifest_sha256": "0"}]))  # fmt: skip
    lake.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": "r2", "run_id": "old", "destination": "engine", "recipient_key": "key2", "channel": "SMS", "status": "OPENED",
         "event_at": at("2026-11-10"), "event_on": dt.date(2026, 11, 10)}]))  # fmt: skip


def write_tags(lake, rows: list[dict], day: dt.date) -> None:
    schema = lake.contracts.get("tags.customer_tags").arrow_schema()
    table = pa.Table.from_pylist(rows, schema=schema)
    lake.overwrite("tags.customer_tags", table)
    daily = table.append_column("as_of", pa.array([day] * table.num_rows, pa.date32()))
    lake.replace_partition("tags.customer_tags_daily", daily, as_of=day)
