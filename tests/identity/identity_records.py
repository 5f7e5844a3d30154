"""Draws identity input in a test: records as short dicts become the tables identity reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from identity.joining.connect import connect
from identity.reading.graph import Grouping
from identity.reading.observe import NODE_SCHEMA, Observed, observe
from identity.rules.rules import Rules, read_rules
from lakehouse.contracts.reading import contract

DAY = date(2026, 11, 18)
KEY = b"a key for tests only, 32 letters"
_OWN = {"id", "name", "born", "gender", "kind"}


def shipped_rules() -> Rules:
    return read_rules(Path("no identity.yml here"))


def tables(records: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """`id: source/key`, own keys for facts, every other key a namespace: a value, or a dict of value, verified, on, role."""
    customers, observations = [], []
    for record in records:
        source, key = record["id"].split("/")
        customers.append(
            {"source": source, "source_key": key, "kind": record.get("kind", "customer"), "full_name": record.get("name"),
             "gender": record.get("gender"), "birth_date": record.get("born")}
        )  # fmt: skip
        for namespace, told in record.items():
            if namespace in _OWN:
                continue
            for value in told if isinstance(told, list) else [told]:
                body = value if isinstance(value, dict) else {"value": value}
                observations.append(
                    {"source": source, "source_key": key, "namespace": namespace, "value": str(body["value"]),
                     "role": body.get("role", "identity"), "verified": body.get("verified", True),
                     "observed_on": body.get("on", date(2026, 1, 1)), "hash_method": body.get("hash")}
                )  # fmt: skip
    customer_schema = pa.schema(
        [(n, pa.string()) for n in ("source", "source_key", "kind", "full_name", "gender")]
        + [("birth_date", pa.date32())]
    )
    observation_schema = pa.schema(
        [(n, pa.string()) for n in ("source", "source_key", "namespace", "value", "role")]
        + [("verified", pa.bool_()), ("observed_on", pa.date32()), ("hash_method", pa.string())]
    )
    return pa.Table.from_pylist(customers, schema=customer_schema), pa.Table.from_pylist(
        observations, schema=observation_schema
    )


def observed(records: list[dict[str, Any]], rules: Rules, nodes: pa.Table | None = None) -> Observed:
    customers, observations = tables(records)
    known = NODE_SCHEMA.empty_table() if nodes is None else nodes
    return observe(
        customers=customers, observations=observations, nodes=known, rules=rules, key=KEY, business_date=DAY
    )


def grouped(
    records: list[dict[str, Any]], rules: Rules | None = None
) -> tuple[set[frozenset[str]], Observed, Grouping]:
    """Give people as sets of record ids."""
    seen = observed(records, rules or shipped_rules())
    grouping = connect(seen.graph, rules or shipped_rules())
    names = {
        row["node_id"]: f"{row['source']}/{row['source_key']}"
        for row in seen.new_nodes.to_pylist()
        if row["kind"] == "profile"
    }
    people: dict[int, set[str]] = {}
    for place, person in enumerate(grouping.people.tolist()):
        people.setdefault(person, set()).add(names[int(seen.graph.profiles.node_ids[place])])
    return {frozenset(p) for p in people.values()}, seen, grouping


def deliver(lake, day, records):
    """Bring the trusted tables to exactly these records, as a snapshot feed of the day would."""
    for table, rows in zip(
        ("trusted.customers", "trusted.identifier_observations"), tables(records), strict=True
    ):
        found = contract(table)
        for name in found.columns:
            if name not in rows.column_names and name not in ("_feed", "valid_from", "valid_to"):
                rows = rows.append_column(
                    name, pa.nulls(rows.num_rows, found.arrow_schema().field(name).type)
                )
        at = {name: rows.column_names.index(name) for name in ("_file", "_row")}
        rows = rows.set_column(at["_file"], "_file", pa.array(["drawn.csv"] * rows.num_rows))
        rows = rows.set_column(at["_row"], "_row", pa.array(range(rows.num_rows), pa.int64()))
        lake.change_states(table, rows, feed="drawn", business_date=day, mode="snapshot")


def publish(lake, day):
    """Let readers see what a night of identity left, and the trusted tables it left them from."""
    from identity.nights.resolve import TABLES

    tables = [*TABLES, "trusted.customers", "trusted.identifier_observations"]
    seen = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    lake.append_rows(
        "ops.publications",
        [
            {"seq": lake.read_arrow("ops.publications").num_rows + 1, "business_date": day, "run_id": "r", "published_at": seen, "fingerprint": "f",
             "summary": "{}", "tables": [{"table": table, "version": lake.version(table)} for table in tables]}
        ],
    )  # fmt: skip
