"""Many tags over one relation: one scan as the compiler writes it, against one query per tag.

The twenty tags are registry entries, and both sides run SQL that the tag compiler wrote: once for all entries
together, once for each alone. One query per tag leaves twenty results that would still have to be joined; that join
is not charged.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Outcome, Row, timed

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from vocabulary.registry import Entry

NAME = "fused_scan"
QUESTION = "What does it cost to compute twenty tags over one relation?"
BUSINESS_DATE = date(2026, 11, 20)
TRANSACTIONS, ACCOUNTS, PEOPLE = 1_000_000, 65_000, 50_000
HISTORY_DAYS = 540
SEED = 20261120

ACTIVE = "initiator = 'C' and transaction_type not in ('INTEREST', 'FEE', 'SWEEP')"
# code: (type of the answer, the aggregate as a registry entry states it)
TAGS: dict[str, tuple[str, dict[str, Any]]] = {
    "active_count_90d": ("int", {"measure": "count", "where": ACTIVE, "window_days": 90}),
    "active_outflow_90d": ("decimal", {"measure": "sum", "of": "amount_base", "where": f"{ACTIVE} and direction = 'debit'", "window_days": 90}),
    "active_days_180d": ("int", {"measure": "count_distinct", "of": "transacted_on", "where": ACTIVE, "window_days": 180}),
    "last_active_on": ("date", {"measure": "max", "of": "transacted_on", "where": ACTIVE}),
    "first_transacted_on": ("date", {"measure": "min", "of": "transacted_on"}),
    "inflow_30d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "direction = 'credit'", "window_days": 30}),
    "outflow_30d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "direction = 'debit'", "window_days": 30}),
    "inflow_365d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "direction = 'credit'", "window_days": 365}),
    "payroll_amount_3m": ("decimal", {"measure": "sum", "of": "amount_base", "where": "transaction_type = 'PAYROLL'", "months": 3}),
    "payroll_months_3m": ("int", {"measure": "count_distinct", "of": "trunc(transacted_on, 'MM')", "where": "transaction_type = 'PAYROLL'", "months": 3}),
    "payroll_average_3m": ("decimal", {"measure": "avg", "of": "amount_base", "per": "trunc(transacted_on, 'MM')", "where": "transaction_type = 'PAYROLL'", "months": 3}),
    "card_spend_90d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "transaction_type = 'PURCHASE'", "window_days": 90}),
    "card_categories_90d": ("int", {"measure": "count_distinct", "of": "merchant_category", "where": "transaction_type = 'PURCHASE'", "window_days": 90}),
    "largest_debit_365d": ("decimal", {"measure": "max", "of": "amount_base", "where": "direction = 'debit'", "window_days": 365}),
    "wealth_bought_365d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "transaction_type = 'WEALTH_BUY'", "window_days": 365}),
    "fees_365d": ("decimal", {"measure": "sum", "of": "amount_base", "where": "transaction_type = 'FEE'", "window_days": 365}),
    "channels_90d": ("int", {"measure": "count_distinct", "of": "channel", "window_days": 90}),
    "cash_count_30d": ("int", {"measure": "count", "where": "transaction_type = 'CASH'", "window_days": 30}),
    "household_count_90d": ("int", {"measure": "count", "where": "transaction_type = 'HOUSEHOLD'", "window_days": 90}),
    "app_share_90d": ("ratio", {"measure": "ratio", "of": "case when channel = 'APP' then 1 else 0 end", "per": "1", "window_days": 90}),
}  # fmt: skip


def run(repeats: int) -> Outcome:
    """Measure both ways in one Spark session and compare every cell."""
    from lakehouse.session.session import start_session, stop_session
    from lakehouse.settings.settings import load_settings

    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        (workspace / "cdp.yml").write_text("spark: {driver_memory: 3g}\n")
        spark = start_session(load_settings(workspace), name="benchmarks")
        try:
            _register(spark, workspace)
            together, alone = compiled_queries()
            rows = _rows(spark, together, alone, repeats)
        finally:
            stop_session(wait=True)
            shutil.rmtree(workspace / "data", ignore_errors=True)
    notes = [
        f"{len(TAGS)} tags, {PEOPLE:,} people, {ACCOUNTS:,} accounts, {HISTORY_DAYS} days, read from Parquet; both ways "
        "were run once before they were timed. The answers are computed whole and thrown away (format noop).",
        "One query per tag is timed without the join that would bring its twenty results together.",
    ]
    return Outcome(rows, notes)


def compiled_queries() -> tuple[str, list[str]]:
    """Give the compiler's SQL for all entries in one scan, and for each entry alone."""
    from tags.compile.compiler import Writer
    from tags.compile.plan import Scan, ScanPlan
    from tags.compile.relations import trusted_relation
    from vocabulary.registry import Place, Registry

    entries = tuple(_entry(code, kind, form) for code, (kind, form) in TAGS.items())
    relation = trusted_relation("trusted.transactions")
    places = {entry.code: Place(Path(__file__), at) for at, entry in enumerate(entries)}
    registry = Registry({entry.code: entry for entry in entries}, places)
    fused = Scan(relation, entries, aggregated=True)
    writer = Writer(registry, ScanPlan(entries, (fused,), (entries,)))
    singles = [Scan(relation, (entry,), aggregated=True) for entry in entries]
    return _rendered_sql(writer.scan_sql(fused)), [_rendered_sql(writer.scan_sql(scan)) for scan in singles]


def _entry(code: str, kind: str, form: dict[str, Any]) -> Entry:
    from vocabulary.registry import Entry

    words = {"zh": code, "en": code}
    return Entry.model_validate(
        {
            "code": code, "name": words, "definition": words, "family": "value", "kind": "fact", "value": {"type": kind},
            "null_rule": "NA", "level": "C2", "purposes": ["service"], "inputs": ["trusted.transactions.amount_base"],
            "compute": {"aggregate": {"from": "trusted.transactions", **form}}, "owner": "data_platform",
            "version": "1.0.0", "status": "online",
        }
    )  # fmt: skip


def _rendered_sql(model: str) -> str:
    """Give a dbt model's SQL as dbt would run it: names for refs, the day for the business date."""
    import jinja2

    return jinja2.Environment().from_string(model).render(
        ref=lambda name: name, config=lambda **_: "", business_date=lambda: f"date'{BUSINESS_DATE}'"
    )  # fmt: skip


def transactions(chance: np.random.Generator) -> pa.Table:
    """Give synthetic movements: kinds and channels by weight, accounts unevenly busy, amounts log-normal in cents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = np.array(
        ["PURCHASE", "TRANSFER", "PAYMENT", "CASH", "HOUSEHOLD", "PAYROLL", "INTEREST", "FEE", "WEALTH_BUY"]
    )
    weights = np.array([0.38, 0.2, 0.14, 0.07, 0.07, 0.06, 0.04, 0.02, 0.02])
    kind = chance.choice(len(kinds), TRANSACTIONS, p=weights)
    credit = np.isin(kinds[kind], ["PAYROLL", "INTEREST"]) | (
        (kinds[kind] == "TRANSFER") & (chance.random(TRANSACTIONS) < 0.5)
    )
    account = (ACCOUNTS * chance.random(TRANSACTIONS) ** 1.5).astype(np.int64)
    days = chance.integers(0, HISTORY_DAYS, TRANSACTIONS)
    first = np.datetime64(BUSINESS_DATE - timedelta(days=HISTORY_DAYS - 1))
    cents = np.maximum(1, chance.lognormal(9.5, 1.4, TRANSACTIONS)).astype(np.int64)
    amount = pc.multiply(pa.array(cents).cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.01")))
    category = np.where(kinds[kind] == "PURCHASE", chance.integers(0, 24, TRANSACTIONS), -1)
    categories = pa.array([None, *(f"{5000 + 37 * at}" for at in range(24))])
    return pa.table(
        {
            "source": pa.repeat(pa.scalar("core_banking"), TRANSACTIONS),
            "transaction_id": pc.cast(pa.array(np.arange(TRANSACTIONS)), pa.string()),
            "account_id": pc.cast(pa.array(account), pa.string()),
            "transacted_on": pa.array(first + days.astype("timedelta64[D]")),
            "direction": pa.array(np.where(credit, "credit", "debit")),
            "amount_base": amount.cast(pa.decimal128(18, 2)),
            "transaction_type": pa.array(kinds).take(pa.array(kind)),
            "initiator": pa.array(np.where(np.isin(kinds[kind], ["PAYROLL", "INTEREST", "FEE"]), "S", "C")),
            "channel": pa.array(["APP", "WECHAT", "COUNTER", "ATM", "WEB"]).take(
                pa.array(chance.integers(0, 5, TRANSACTIONS))
            ),
            "merchant_category": categories.take(pa.array(category + 1)),
        }
    )


def _register(spark: SparkSession, workspace: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    chance = np.random.default_rng(SEED)
    folder = workspace / "data"
    folder.mkdir()
    table = transactions(chance)
    part = TRANSACTIONS // 4
    (folder / "transactions").mkdir()
    for at in range(4):
        pq.write_table(table.slice(at * part, part), folder / "transactions" / f"{at}.parquet")
    owner = np.concatenate([np.arange(PEOPLE), chance.integers(0, PEOPLE, ACCOUNTS - PEOPLE)])
    owners = pa.table(
        {
            "source": pa.repeat(pa.scalar("core_banking"), ACCOUNTS),
            "account_id": pc.cast(pa.array(np.arange(ACCOUNTS)), pa.string()),
            "one_id": pa.array(1_000_000_000_001 + owner),
        }
    )
    pq.write_table(owners, folder / "owners.parquet")
    spark.read.parquet(str(folder / "transactions")).createOrReplaceTempView("stg_trusted__transactions")
    spark.read.parquet(str(folder / "owners.parquet")).createOrReplaceTempView("int_account_owners")


def _rows(spark: SparkSession, together: str, alone: list[str], repeats: int) -> list[Row]:
    def compute(statements: list[str]) -> None:
        for statement in statements:
            spark.sql(statement).write.format("noop").mode("overwrite").save()

    equal = _same_cells(spark, together, alone)
    case = f"{len(TAGS)} tags over {TRANSACTIONS:,} transactions"
    rows = []
    for way, statements in (("one scan, as compiled", [together]), ("one query per tag", alone)):
        compute(statements)
        timing = timed(lambda statements=statements: compute(statements), repeats, cpu=_jvm_seconds)  # type: ignore[misc]
        rows.append(Row(case, way, timing.seconds, cpu_seconds=timing.cpu_seconds, is_equal=equal))
    return rows


def _jvm_seconds() -> float:
    """Give the processor time this process's JVM has used; garbage collection and compiling included."""
    import psutil

    from lakehouse.session.session import jvm_pid

    times = psutil.Process(jvm_pid()).cpu_times()
    return times.user + times.system


def _same_cells(spark: SparkSession, together: str, alone: list[str]) -> bool:
    """Compare both ways' people, every person and tag; a person without rows in a window has no row alone."""
    whole = spark.sql(together).toArrow().to_pylist()
    people = {row["one_id"]: row for row in whole}
    for code, statement in zip(TAGS, alone, strict=True):
        cells = {row["one_id"]: row[code] for row in spark.sql(statement).toArrow().to_pylist()}
        nothing = 0 if TAGS[code][1]["measure"] in ("count", "count_distinct") else None
        if (
            any(cells.get(one_id, nothing) != row[code] for one_id, row in people.items())
            or not cells.keys() <= people.keys()
        ):
            return False
    return True
