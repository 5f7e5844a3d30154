"""A small published lake, made without Spark and without a night."""

from __future__ import annotations

from datetime import UTC, date, datetime

from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

DAY = date(2026, 11, 18)
PHONES = ("13800138000", "13900139001")
NAMES = ("张三", "Anna O'Neill")
RAW = "17,李四,13700137000"
PRIVATE = (*PHONES, *NAMES, RAW, "13700137000")
TABLES = (
    "trusted.customers", "trusted.identifier_observations", "identity.memberships", "quality.refused_rows", "landing.members",
)  # fmt: skip
FEED = """\
feed: members
source: shop
description: Members of the shop.
mode: snapshot
files: {path: "members/{date}/members.csv"}
format: {type: csv}
columns: [no, name, mobile]
targets:
  - {table: trusted.customers, columns: {source_key: no, kind: "'customer'", full_name: name}}
"""


def publish(folder):
    """Write one published night into the workspace ``folder``: two people, one refused record. Give its settings."""
    from ingestion import landing_contracts

    settings = load_settings(folder)
    lake = Lake(settings)
    lake.contracts.add(*landing_contracts(settings))
    lake.create([*TABLES, "ops.publications"])
    row = {"_feed": "members", "_file": "members.csv", "valid_from": DAY}
    for at, (name, phone) in enumerate(zip(NAMES, PHONES, strict=True), start=1):
        key = {"source": "shop", "source_key": str(at)}
        lake.append_rows(
            "trusted.customers", [{**key, "kind": "customer", "full_name": name, "_row": at, **row}]
        )
        observation = {**key, "namespace": "phone", "value": phone, "role": "identity", "_row": at, **row}
        lake.append_rows("trusted.identifier_observations", [observation])
        landed = {"no": str(at), "name": name, "mobile": phone, "_row": at, "_arrived_on": DAY}
        lake.append_rows("landing.members", [{**landed, "_feed": "members", "_file": "members.csv"}])
    lake.append_rows(
        "quality.refused_rows",
        [
            {
                "feed": "members", "path": "members.csv", "row_number": 3, "raw_text": RAW,
                "reasons": ["columns"], "arrived_on": DAY,
            }
        ],
    )  # fmt: skip
    lake.append_rows(
        "ops.publications",
        [
            {
                "business_date": DAY, "run_id": "run-1", "seq": 1, "fingerprint": "f", "summary": "{}",
                "published_at": datetime(2026, 11, 19, tzinfo=UTC),
                "tables": [{"table": table, "version": lake.version(table)} for table in TABLES],
            }
        ],
    )  # fmt: skip
    return settings
