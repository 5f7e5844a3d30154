"""Tags of a drawn bank of a dozen people, worked out by hand: windows, ties, nulls, month ends.

The business date is 2026-03-31, the last day of a month: the last complete month is still February (28 days).
"""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import tags
from lakehouse.errors import GateStopped, StepFailed
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.settings.yaml_files import load_yaml
from lakehouse.tables.lake import Lake, open_lake
from tags.build.computation import NIGHT, TagsResult, _judge, broken_keys, run_dbt
from tags.build.project import PROJECT, project_files, source_tables
from tags.compile.compilation import compile_tags
from tests.tags.drawn import draw
from vocabulary.buckets import bucket, salted_bucket_sql

D = dt.date(2026, 3, 31)
MODELS = PROJECT / "models" / "intermediate"
PEOPLE = ("ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal")
ONE = {name: 1_000_000_000_001 + at for at, name in enumerate(PEOPLE)}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def answers(request, tmp_path_factory):
    """The wide table by person, by each engine, after two builds of the same date; the second must not change anything."""
    workspace = tmp_path_factory.mktemp("golden")
    spark = request.getfixturevalue("spark") if request.param == "spark" else None
    names = ("spark.sql.ansi.enabled", "spark.sql.sources.partitionOverwriteMode")
    before = {name: spark.conf.get(name) for name in names} if spark else {}
    lake, first = build_bank(workspace, request.param, spark) if spark else copied_bank(workspace)
    hashes = {
        table: table_hash(lake.settings, table)
        for table in ("tags.customer_tags", "tags.customer_tags_daily")
    }
    tags.build_tags(lake, D)
    rows = {row["one_id"]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
    return {
        "lake": lake,
        "engine": request.param,
        "result": first,
        "hashes": hashes,
        "conf": before,
        **{name: rows.get(one_id) for name, one_id in ONE.items()},
    }


def build_bank(workspace: Path, engine: str, spark=None) -> tuple[Lake, TagsResult]:
    """Draw the bank into a workspace and build its tags; give the lake and what was built."""
    (workspace / "cdp.yml").write_text(f"time_zone: Asia/Shanghai\nengine: {engine}\n")
    lake = open_lake(load_settings(workspace), spark=spark)
    fill(lake)
    return lake, tags.build_tags(lake, D)


def copied_bank(workspace: Path) -> tuple[Lake, TagsResult]:
    """Give what ``build_bank`` gives of duckdb, as a copy of what is made once a process."""
    folder, result = _built_bank()
    shutil.copytree(folder.name, workspace, dirs_exist_ok=True)
    return open_lake(load_settings(workspace)), result


@cache
def _built_bank() -> tuple[TemporaryDirectory, TagsResult]:
    folder = TemporaryDirectory()
    _, result = build_bank(Path(folder.name), "duckdb")
    return folder, result


def fill(lake) -> None:
    """Draw the bank. gus is an anonymous device, so only the others may have a row; hal is a prospect without accounts."""
    ids = "\n".join(
        f"| {ONE[n]} | {at} | 2026-01-01 | {'anonymous' if n == 'gus' else 'prospect' if n == 'hal' else 'customer'} | active | 1 |"
        for at, n in enumerate(PEOPLE)
    )
    draw(
        lake,
        "identity.one_ids",
        f"| one_id | anchor_profile_id | created_on | kind | status | profile_count |\n{ids}",
    )
    members = "\n".join(f"| {ONE[n]} | bank | {n} | {at} |" for at, n in enumerate(PEOPLE))
    draw(lake, "identity.memberships", f"| one_id | source | source_key | profile_id |\n{members}")
    draw(
        lake,
        "trusted.customers",
        """
        | source_key | kind      | gender | birth_date | registered_on | branch_id | document_expires_on | is_staff |
        | ann        | customer  | F      | 1996-02-29 | 2020-01-01    | b1        | 2026-06-29          | true     |
        | bob        | customer  | -      | 2008-04-01 | 2020-01-01    | b1        | 2026-03-30          | -        |
        | cat        | customer  | -      | 1890-01-01 | 2020-01-01    | -         | 2026-06-30          | -        |
        | dan        | customer  | M      | 1966-03-31 | 2020-01-01    | b2        | -                   | -        |
        | eve        | customer  | F      | -          | 2020-01-01    | b2        | -                   | -        |
        | fay        | customer  | F      | -          | 2020-01-01    | b2        | -                   | -        |
        | hal        | prospect  | -      | -          | 2020-01-01    | -         | -                   | -        |
    """,
    )
    golden = "\n".join(
        f"| {ONE[n]} | {sex} |" for n, sex in (("ann", "F"), ("dan", "M"), ("eve", "F"), ("fay", "F"))
    )
    draw(lake, "identity.golden_records", f"| one_id | gender |\n{golden}")
    draw(
        lake,
        "trusted.identifier_observations",
        """
        | source_key | namespace         | value              | role     | observed_on |
        | bob        | national_id       | 110101200804011237 | identity | 2020-01-01  |
        | cat        | national_id       | 11010118900101124X | identity | 2020-01-01  |
        | ann        | app_user_id@app   | u1                 | identity | 2026-03-01  |
        | bob        | app_user_id@app   | u2                 | identity | 2026-02-28  |
        | cat        | app_user_id@app   | u3                 | identity | 2024-01-01  |
        | dan        | app_user_id@app   | u4                 | identity | 2024-01-01  |
        | eve        | app_user_id@app   | u5                 | identity | 2024-01-01  |
        | fay        | app_user_id@app   | u6                 | identity | 2024-01-01  |
        | ann        | phone             | 13900000001        | identity | 2020-01-01  |
        | bob        | phone             | 13900000002        | identity | 2020-01-01  |
    """,
    )
    draw(
        lake,
        "trusted.accounts",
        """
        | account_id | account_type    | currency | status | opened_on  |
        | a1         | savings         | CNY      | open   | 2025-01-01 |
        | b1         | savings         | CNY      | open   | 2026-03-01 |
        | c1         | savings         | CNY      | open   | 2026-02-28 |
        | d1         | current         | CNY      | open   | 2020-01-01 |
        | e1         | social_security | CNY      | open   | 2020-01-01 |
        | f1         | savings         | CNY      | open   | 2020-01-01 |
        | f2         | savings         | CNY      | closed | 2019-03-31 |
        | x1         | savings         | CNY      | open   | 2020-01-01 |
    """,
    )
    owners = "\n".join(
        f"| person_account | bank | {person} | bank | {account} | {role} |"
        for person, account, role in (
            ("ann", "a1", "owner"), ("bob", "b1", "owner"), ("cat", "c1", "owner"), ("dan", "d1", "owner"),
            ("eve", "e1", "owner"), ("fay", "f1", "owner"), ("fay", "f2", "owner"), ("hal", "a1", "co_holder"),
        )
    )  # fmt: skip
    draw(
        lake,
        "trusted.relationships",
        f"""
        | relationship_type | from_source | from_key | to_source | to_key | role |
        {owners}
        | person_manager | bank | ann | bank | rm1 | manager |
    """,
    )
    # ann: 280,000 on 10 of February's 28 days, from 02-19 on → 100,000.00 on average; the copy that arrived later
    # wins. bob opened after February. cat opened on its last day: 28,000 on 1 of 28 days → 1,000.00. dan's account
    # is overdrawn since January. x1 belongs to nobody known.
    draw(
        lake,
        "trusted.balances",
        """
        | account_id | product_class | balance_on | balance  | balance_base | currency | _arrived_on |
        | a1         | demand        | 2026-02-19 | 1.00     | 1.00         | CNY      | 2026-02-19  |
        | a1         | demand        | 2026-02-19 | 280000   | 280000       | CNY      | 2026-02-20  |
        | a1         | demand        | 2026-03-31 | 4000     | 4000         | CNY      | 2026-03-31  |
        | a1         | wealth        | 2026-03-30 | 50000.50 | 50000.50     | CNY      | 2026-03-30  |
        | a1         | custody       | 2026-03-30 | 999999   | 999999       | CNY      | 2026-03-30  |
        | a1         | time          | 2026-04-01 | 777      | 777          | CNY      | 2026-03-31  |
        | b1         | demand        | 2026-03-01 | 50000    | 50000        | CNY      | 2026-03-01  |
        | c1         | demand        | 2026-02-28 | 28000    | 28000        | CNY      | 2026-02-28  |
        | d1         | demand        | 2026-01-15 | -28.00   | -28.00       | CNY      | 2026-01-15  |
        | e1         | demand        | 2026-01-15 | 3.00     | 3.00         | CNY      | 2026-01-15  |
        | f1         | demand        | 2025-10-01 | 10.00    | 10.00        | CNY      | 2025-10-01  |
        | x1         | demand        | 2026-01-15 | 500      | 500          | CNY      | 2026-01-15  |
    """,
    )
    # Payroll: the months are December, January, February. ann 500 in two of them; bob 499.99 in one and 500 in one;
    # cat in two, one taken back; dan in February and March (March is not complete).
    draw(
        lake,
        "trusted.transactions",
        """
        | transaction_id | account_id | transacted_on | direction | amount_base | transaction_type | initiator | is_reversal |
        | 1              | a1         | 2025-12-01    | credit    | 500         | PAYROLL          | B         | -           |
        | 2              | a1         | 2026-02-28    | credit    | 700         | PAYROLL          | B         | -           |
        | 3              | b1         | 2026-01-10    | credit    | 499.99      | PAYROLL          | B         | -           |
        | 4              | b1         | 2026-02-10    | credit    | 500         | PAYROLL          | B         | -           |
        | 5              | c1         | 2026-01-10    | credit    | 900         | PAYROLL          | B         | -           |
        | 6              | c1         | 2026-02-10    | credit    | 900         | PAYROLL          | B         | true        |
        | 7              | d1         | 2026-02-10    | credit    | 900         | PAYROLL          | B         | -           |
        | 8              | d1         | 2026-03-10    | credit    | 900         | PAYROLL          | B         | -           |
        | 9              | a1         | 2026-01-01    | debit     | 100.10      | PURCHASE         | C         | -           |
        | 10             | a1         | 2026-01-01    | debit     | 0.20        | PURCHASE         | C         | -           |
        | 11             | a1         | 2025-12-31    | debit     | 9999        | PURCHASE         | C         | -           |
        | 12             | a1         | 2026-03-01    | debit     | 5           | FEE              | C         | -           |
        | 13             | b1         | 2026-03-02    | credit    | 1000        | TRANSFER         | C         | -           |
        | 14             | c1         | 2026-03-01    | credit    | 1000        | TRANSFER         | C         | -           |
        | 15             | f1         | 2025-03-31    | debit     | 10          | CASH             | C         | -           |
        | 16             | d1         | 2025-04-01    | debit     | 10          | CASH             | C         | -           |
    """,
        currency="CNY",
        amount="1",
    )
    draw(
        lake,
        "trusted.holdings",
        """
        | holding_id | account_id | product_class | balance | currency | risk_level | matures_on | status   |
        | 1          | a1         | wealth        | 50000   | CNY      | R3         | 2026-03-30 | active   |
        | 2          | a1         | wealth        | 50000   | CNY      | R3         | 2026-04-07 | active   |
        | 3          | a1         | time          | 50000   | CNY      | -          | 2026-04-05 | redeemed |
        | 4          | a1         | fund          | 50000   | CNY      | R2         | 2026-04-01 | redeemed |
        | 5          | b1         | time          | 50000   | CNY      | -          | 2026-03-31 | active   |
    """,
    )
    draw(
        lake,
        "trusted.loans",
        """
        | loan_id | account_id | currency | outstanding | days_past_due | loan_class | status   |
        | 1       | c1         | CNY      | 1000.50     | 31            | SS         | active   |
        | 2       | c1         | CNY      | 2000        | 0             | D          | paid_off |
    """,
    )
    draw(
        lake,
        "trusted.cards",
        """
        | card_id | source_key | card_type | status  | credit_limit | used_amount | days_past_due | card_class |
        | 1       | ann        | credit    | ACTIVE  | 1000         | 250         | 0             | N          |
        | 2       | ann        | credit    | BOUND   | 2000         | 500         | -             | S          |
        | 3       | bob        | debit     | ACTIVE  | -            | -           | -             | -          |
        | 4       | dan        | credit    | APPLIED | 5000         | -           | -             | -          |
    """,
        currency="CNY",
    )
    draw(
        lake,
        "trusted.assessments",
        """
        | assessment_id | source_key | assessed_on | grade | valid_until |
        | 1             | ann        | 2025-04-01  | C2    | -           |
        | 2             | ann        | 2024-04-01  | C5    | 2030-01-01  |
        | 3             | bob        | 2025-03-30  | C4    | -           |
        | 4             | cat        | 2026-03-01  | C3    | 2027-01-01  |
        | 5             | cat        | 2026-03-01  | C1    | 2028-01-01  |
    """,
    )
    logins = "\n".join(
        f"| {at} | {person} | login | {day} | {day}T08:00:00 | {good} |"
        for at, (person, day, good) in enumerate((
            ("ann", "2026-03-31", "true"), ("bob", "2026-03-02", "true"), ("bob", "2026-03-02", "true"),
            ("bob", "2026-03-01", "true"), ("cat", "2026-03-01", "true"), ("cat", "2026-03-30", "false"),
            ("dan", "2026-01-30", "true"), ("eve", "2026-01-29", "true"), ("fay", "2025-10-01", "true"),
        ))
    )  # fmt: skip
    draw(
        lake,
        "trusted.events",
        f"""
        | event_id | source_key | event_name | occurred_on | occurred_at | is_success |
        {logins}
        | v1 | ann | wealth_detail_view | 2026-03-24 | 2026-03-24T10:00:00 | - |
        | v2 | ann | wealth_detail_view | 2026-03-25 | 2026-03-25T10:00:00 | - |
        | v3 | ann | wealth_password    | 2026-03-25 | 2026-03-25T11:00:00 | - |
        | v4 | ann | wealth_purchase_ok | 2026-03-25 | 2026-03-25T11:00:00 | - |
        | v5 | ann | wealth_click_buy   | 2026-03-26 | 2026-03-26T11:00:00 | - |
        | v6 | ann | wealth_detail_view | 2026-03-27 | 2026-03-27T11:00:00 | - |
        | v7 | bob | wealth_password    | 2026-03-26 | 2026-03-26T11:00:00 | - |
        | v8 | bob | wealth_purchase_ok | 2026-03-26 | 2026-03-26T11:00:00 | - |
    """,
    )
    draw(
        lake,
        "trusted.consents",
        """
        | source_key | purpose   | channel | decision | decided_at          | expires_on |
        | ann        | marketing | ALL     | GRANT    | 2026-01-01T00:00:00 | -          |
        | ann        | marketing | SMS     | REFUSE   | 2026-01-02T00:00:00 | -          |
        | bob        | marketing | SMS     | GRANT    | 2026-01-01T00:00:00 | -          |
        | bob        | marketing | ALL     | REFUSE   | 2026-01-02T00:00:00 | -          |
        | cat        | profiling | ALL     | REFUSE   | 2026-01-01T00:00:00 | -          |
        | dan        | marketing | ALL     | GRANT    | 2026-01-01T00:00:00 | 2026-03-31 |
    """,
    )
    draw(
        lake,
        "trusted.account_controls",
        """
        | control_id | source_key | account_id | control_type | grade | started_on | ended_on   | valid_to   |
        | 1          | ann        | -          | AML_GRADE    | H     | 2025-01-01 | -          | 2026-01-01 |
        | 2          | ann        | -          | AML_GRADE    | L     | 2026-01-01 | -          | -          |
        | 3          | bob        | -          | AML_GRADE    | MH    | 2025-01-01 | -          | 2025-10-03 |
        | 4          | cat        | -          | AML_GRADE    | MH    | 2025-01-01 | -          | 2025-10-02 |
        | 5          | -          | b1         | FRAUD        | -     | 2026-03-31 | -          | -          |
        | 6          | cat        | -          | JUDICIAL     | -     | 2026-01-01 | 2026-03-31 | -          |
        | 7          | eve        | -          | COMPLAINT    | -     | 2026-01-01 | -          | -          |
    """,
    )
    draw(
        lake,
        "segments.recipients",
        f"""
        | destination | recipient_key | one_id      |
        | engine      | k1            | {ONE["ann"]} |
        | engine      | k2            | {ONE["bob"]} |
    """,
    )
    touches = "\n".join(f"| b{n} | r{n} | k2 | SMS | SENT | 2026-03-{1 + n:02} |" for n in range(1, 7))
    draw(
        lake,
        "trusted.receipts",
        f"""
        | receipt_id | run_id | recipient_key | channel | status       | event_on   |
        | 1          | r1     | k1            | PUSH    | SENT         | 2026-03-25 |
        | 2          | r1     | k1            | PUSH    | OPENED       | 2026-03-26 |
        | 3          | r2     | k1            | PUSH    | SENT         | 2026-03-24 |
        | 4          | r3     | k1            | INAPP   | CAPPED       | 2026-03-30 |
        | 5          | r4     | k1            | PUSH    | BOUNCED_HARD | 2026-03-31 |
        {touches}
    """,
        destination="engine",
        event_at="2026-03-31T00:00:00",
    )
    fill_shop(lake)


def fill_shop(lake) -> None:
    """Orders at the edges: 365 and 366 days, 30, 90, 91 and 181 days ago; 47 and 48 pieces; returns and a cancelled one."""
    orders = [
        ("a1", "ann", "2025-03-31", "completed", "-"), ("a2", "ann", "2026-01-15", "completed", "-"),
        ("a3", "ann", "2026-03-31", "shipped", "false"), ("a4", "ann", "2026-03-31", "completed", "true"),
        ("a5", "ann", "2026-03-30", "cancelled", "-"), ("c1", "cat", "2026-03-01", "paid", "-"),
        ("d1", "dan", "2025-12-30", "paid", "-"), ("e1", "eve", "2025-10-01", "paid", "-"),
        ("f1", "fay", "2026-03-01", "cancelled", "-"), ("n1", "-", "2026-03-01", "paid", "-"),
        *((f"b{n}", "bob", "2025-12-31", "completed", "-") for n in range(1, 5)),
    ]  # fmt: skip
    lines = [
        ("a1", "p0", 100, 900), ("a2", "p1", 48, 480), ("a2", "p2", 1, 20), ("a3", "p1", 47, 470), ("a3", "p1", 60, 0),
        ("a3", "p3", -1, -5), ("a4", "p1", -48, -480), ("a5", "p9", 5, 50), ("c1", "p1", 1, "999.99"),
        ("d1", "p1", 1, 1000), ("e1", "p1", 1, 1), ("f1", "p1", 1, 70), ("n1", "p1", 1, 7000),
        *((f"b{n}", "p1", 48, 250) for n in range(1, 5)),
    ]  # fmt: skip
    on = {order[0]: order[2] for order in orders}
    told = "\n".join("| " + " | ".join(order) + " |" for order in orders)
    draw(
        lake,
        "trusted.orders",
        f"| order_id | source_key | ordered_on | status | is_return |\n{told}",
        currency="CNY",
    )
    told = "\n".join(
        f"| {order} | {at} | {product} | {quantity} | {amount} | {on[order]} |"
        for at, (order, product, quantity, amount) in enumerate(lines, start=1)
    )
    draw(
        lake,
        "trusted.order_lines",
        f"| order_id | line_number | product_id | quantity | amount | ordered_on |\n{told}",
        unit_price="1",
        currency="CNY",
    )


EXPECTED = """
    | tag                    | ann        | bob     | cat       | dan       | eve  | fay     | hal       |
    | gender                 | F          | M       | F         | M         | F    | F       | -         |
    | age                    | 30         | 17      | -         | 60        | -    | -       | -         |
    | age_band               | 25-34      | U18     | -         | 60P       | -    | -       | -         |
    | home_branch            | b1         | b1      | -         | b2        | b2   | b2      | -         |
    | is_staff               | true       | false   | false     | false     | false| false   | false     |
    | has_relationship_manager | true     | false   | false     | false     | false| false   | false     |
    | id_document_state      | EXP90      | EXPIRED | VALID     | -         | -    | -       | -         |
    | tenure_days            | 454        | 30      | 31        | 2281      | 2281 | 2557    | -         |
    | new_customer_day       | -          | 30      | 31        | -         | -    | -       | -         |
    | aum_eod                | 54000.50   | 50000   | 28000     | -28       | 3    | 10      | 0         |
    | demand_balance         | 4000       | 50000   | 28000     | -28       | 3    | 10      | 0         |
    | wealth_balance         | 50000.50   | 0       | 0         | 0         | 0    | 0       | 0         |
    | aum_avg_last_month     | 100000     | -       | 1000      | -28       | 3    | 10      | 0         |
    | aum_tier               | T2         | T2      | T0        | T0        | T0   | T0      | -         |
    | aum_gap_to_next_tier   | 400000     | 450000  | 9000      | 10028     | 9997 | 9990    | -         |
    | aum_change_3m_ratio    | -          | -       | -         | -         | -    | -       | -         |
    | days_to_next_maturity  | 7          | 0       | -         | -         | -    | -       | -         |
    | is_payroll             | true       | false   | false     | false     | false| false   | false     |
    | payroll_avg_amount     | 600        | 500.00  | 900       | 900       | -    | -       | -         |
    | loan_balance           | 0          | 0       | 1000.50   | 0         | 0    | 0       | 0         |
    | days_past_due          | 0          | -       | 31        | -         | -    | -       | -         |
    | overdue_bucket         | M0         | -       | M2        | -         | -    | -       | -         |
    | loan_class_worst       | S          | -       | SS        | -         | -    | -       | -         |
    | card_utilisation_ratio | 0.25       | -       | -         | -         | -    | -       | -         |
    | risk_capacity          | C2         | C4      | C1        | -         | -    | -       | -         |
    | risk_assessment_state  | EXP30      | EXPIRED | VALID     | NONE      | NONE | NONE    | NONE      |
    | max_sellable_risk      | R2         | -       | R1        | -         | -    | -       | -         |
    | has_suitability_mismatch | true     | -       | false     | -         | -    | -       | -         |
    | aml_grade              | L          | MH      | -         | -         | -    | -       | -         |
    | is_account_controlled  | false      | true    | false     | false     | false| false   | false     |
    | active_txn_count_90d   | 2          | 1       | 1         | 0         | 0    | 0       | 0         |
    | active_txn_amount_90d  | 100.30     | 0       | 0         | 0         | 0    | 0       | 0         |
    | days_since_active_txn  | 89         | 29      | 30        | 364       | -    | 365     | -         |
    | is_dormant             | false      | false   | false     | false     | false| true    | false     |
    | is_mau                 | true       | true    | true      | false     | false| false   | -         |
    | login_days_30d         | 1          | 1       | 0         | 0         | 0    | 0       | -         |
    | days_since_login       | 0          | 29      | 30        | 60        | 61   | 181     | -         |
    | has_key_action_30d     | false      | true    | false     | false     | false| false   | false     |
    | lifecycle_mau          | NEW        | MATURE  | GROW      | SILENT    | LOST | DORMANT | POTENTIAL |
    | wealth_view_count_7d   | 2          | 0       | 0         | 0         | 0    | 0       | 0         |
    | wealth_funnel_break_7d | CLICK_BUY  | NONE    | NONE      | NONE      | NONE | NONE    | NONE      |
    | is_do_not_disturb      | false      | true    | true      | false     | true | false   | false     |
    | touch_count_7d         | 2          | 0       | 0         | 0         | 0    | 0       | 0         |
    | touch_count_30d        | 3          | 6       | 0         | 0         | 0    | 0       | 0         |
    | days_since_response    | 5          | -       | -         | -         | -    | -       | -         |
    | fatigue                | LOW        | HIGH    | LOW       | LOW       | LOW  | LOW     | LOW       |
    | order_count_365d       | 2          | 4       | 1         | 1         | 1    | 0       | 0         |
    | net_spend_365d         | 485        | 1000    | 999.99    | 1000      | 1    | 0       | 0         |
    | average_order_value    | 485        | 250     | 999.99    | 1000      | 1    | -       | -         |
    | return_ratio_365d      | 0.5        | 0       | 0         | 0         | 0    | -       | -         |
    | days_since_last_order  | 0          | 90      | 30        | 91        | 181  | -       | -         |
    | distinct_product_count_365d | 2     | 1       | 1         | 1         | 1    | 0       | 0         |
    | large_line_ratio_365d  | 0.5        | 1       | 0         | 0         | 0    | -       | -         |
    | is_wholesale           | false      | true    | false     | false     | false| false   | false     |
    | shop_rfm_group         | GEN_DEV    | IMPORTANT_VALUE | GEN_DEV | IMPORTANT_WINBACK | GEN_WINBACK | - | -    |
    | lifecycle_shop         | ACTIVE     | ACTIVE  | NEW       | LAPSING   | LOST | -       | -         |
"""


def test_every_answer_is_the_one_worked_out_by_hand(answers):
    from tests.tags.drawn import rows_of

    wrong = []
    for row in rows_of(EXPECTED):
        tag = row.pop("tag")
        for person, expected in row.items():
            found = answers[person][tag]
            shown = {True: "true", False: "false"}.get(found, found) if isinstance(found, bool) else found
            same = (
                Decimal(expected) == found
                if isinstance(found, (int, Decimal)) and not isinstance(found, bool) and expected
                else shown == expected
            )
            if not same:
                wrong.append(f"{person}.{tag} is {shown}, not {expected}")
    assert wrong == []


def test_only_known_people_have_a_row(answers):
    assert answers["gus"] is None
    assert answers["result"].people == len(PEOPLE) - 1
    assert answers["hal"]["kind"] == "prospect"


def test_a_null_that_its_rule_does_not_explain_is_recorded_with_its_reason(answers):
    assert {"tag": "is_mau", "reason": "not_applicable"} in answers["hal"]["null_exceptions"]
    assert answers["bob"]["null_exceptions"] == [{"tag": "aum_avg_last_month", "reason": "not_applicable"}]
    assert answers["ann"]["null_exceptions"] == []


def test_sets_are_sorted_and_empty_where_nothing_is_known(answers):
    assert answers["ann"]["reachable_channels"] == [
        "BRANCH",
        "CALL",
        "INAPP",
    ]  # no SMS: refused; no PUSH: bounced
    assert answers["bob"]["reachable_channels"] == []
    assert answers["dan"]["reachable_channels"] == []  # the consent ended on D
    assert answers["ann"]["product_classes_held"] == ["custody", "demand", "wealth"]


def test_money_of_tags_and_of_nobody_is_all_the_money(answers):
    assert answers["result"].reconciliation == {
        "tagged": Decimal("131985.50"),
        "unassigned": Decimal("500.00"),
        "balances": Decimal("132485.50"),
    }


def test_a_second_build_of_the_date_changes_nothing(answers):
    lake = answers["lake"]
    assert {table: table_hash(lake.settings, table) for table in answers["hashes"]} == answers["hashes"]


def test_dbt_leaves_the_session_as_it_was(answers):
    if answers["engine"] == "duckdb":
        assert not answers["conf"]
        return
    spark = answers["lake"].spark
    assert spark.conf.get("spark.sql.ansi.enabled") == "true"
    assert {name: spark.conf.get(name) for name in answers["conf"]} == answers["conf"]


def test_coverage_is_the_share_of_people_of_whom_something_says_the_value(answers):
    coverage = answers["result"].coverage
    share = {name: Decimal(people) / of for name, (people, of) in {
        "gender": (6, 7), "age": (3, 7),
        "aum_tier": (6, 6), "card_utilisation_ratio": (1, 1),  # of whom their populations have
        "aum_eod": (6, 7),  # hal has no account: 0 is a guess about him
        "touch_count_7d": (2, 7),  # nobody but ann and bob was ever contacted
        "is_mau": (6, 6),  # hal is not registered, so he is not asked
        "order_count_365d": (6, 7), "is_wholesale": (6, 7),  # a rule is as well covered as what it reads
        "is_global_control": (7, 7),  # a bucket of the person: everybody has one
        "aum_change_3m_ratio": (0, 7),
    }.items()}  # fmt: skip
    assert {name: coverage[name] for name in share} == {
        name: ratio.quantize(Decimal("0.000001")) for name, ratio in share.items()
    }
    rows = {row["tag"]: row for row in answers["lake"].read_arrow("quality.tag_quality").to_pylist()}
    assert rows["age"]["unknown_count"] == 4
    assert rows["aum_tier"]["not_applicable_count"] == 1
    assert {name for name, row in rows.items() if row["unexplained_count"]} == set()


SITE_TAG = """
  - code: {code}
    name: {{zh: 测试, en: Test}}
    definition: {{zh: 测试, en: Test}}
    kind: fact
    value: {{type: decimal}}
    null_rule: {null_rule}
    level: C2
    purposes: [service]
    inputs: [{inputs}]
    {compute}
    owner: data
    version: 1.0.0
    status: online
"""
LARGE = 'compute: {aggregate: {from: int_balance_spans, measure: max, of: "balance_base * 1000000000000"}}'
GAP = "compute: {cases: [{when: site_sum < 30000, then: site_sum}]}"
SITE_TAGS = "family: site\ntags:" + "".join(
    SITE_TAG.format(code=code, null_rule=null_rule, inputs=inputs, compute=compute)
    for code, null_rule, inputs, compute in (
        ("site_amount", "U", "trusted.balances.balance_base", LARGE),
        ("site_zero", "Z", "trusted.balances.balance_base", LARGE.replace("max", "min")),
        ("site_sum", "Z", "trusted.balances.balance_base", "compute: {aggregate: {from: int_balance_spans, measure: sum, of: balance_base}}"),
        ("site_rule", "NA", "tag:site_sum", GAP),
        ("site_explained", "NA", "tag:site_sum",
         "null_when: [{when: site_sum >= 30000, reason: not_applicable}]\n    " + GAP.replace("then: site_sum", "then: site_sum + 1")),
    )
)  # fmt: skip


@pytest.mark.slow
def test_an_answer_that_is_lost_and_a_rule_with_a_gap_are_unexplained(spark, make_workspace, tmp_path):
    """A number too large for its type was unknown, a rule that forgot a case not applicable. A null of rule Z needs no mark."""
    (tmp_path / "none").mkdir()
    compilation = compile_tags(make_workspace({"tags/site.yml": SITE_TAGS}), shipped=tmp_path / "none")
    sql = _rendered(compilation)
    session = spark.newSession()
    session.conf.set("spark.sql.ansi.enabled", "false")  # as dbt leaves it
    balances = "values (1L, 7.00BD), (2L, 30000.00BD), (3L, 99999.00BD) t(one_id, balance_base)"
    session.sql(f"select *, date'2026-03-31' as starts_on from {balances}").createOrReplaceTempView(
        "int_balance_spans"
    )
    session.sql("select one_id, 'customer' as kind from range(1, 5) t(one_id)").createOrReplaceTempView(
        "int_people"
    )
    rows = {row.one_id: row.asDict() for row in session.sql(sql).collect()}
    assert {one_id: row["unexplained_nulls"] for one_id, row in rows.items()} == {
        1: [], 2: ["site_amount", "site_rule"], 3: ["site_amount", "site_rule"], 4: [],
    }  # fmt: skip
    assert {one_id: row["read_sources"] for one_id, row in rows.items()} == {
        1: ["balance_spans"], 2: ["balance_spans"], 3: ["balance_spans"], 4: [],
    }  # fmt: skip
    assert [rows[1][name] for name in ("site_amount", "site_rule", "site_explained")] == [7 * 10**12, 7, 8]
    assert [rows[2][name] for name in ("site_amount", "site_zero", "site_rule", "site_explained")] == [
        None,
        None,
        None,
        None,
    ]


def _rendered(compilation) -> str:
    """The wide model as Spark runs it, with views in place of dbt's references."""
    files = project_files(compilation)
    templates = jinja2.Environment(autoescape=False)

    def ref(name: str) -> str:
        scan = files.get(f"models/{name}.sql")
        return f"({templates.from_string(scan).render(**words)})" if scan else name

    words = {
        "ref": ref, "config": lambda **_: "", "business_date": lambda: f"date'{D}'", "sent_to_every_task": lambda _: "",
    }  # fmt: skip
    return templates.from_string(files["models/customer_tags.sql"]).render(**words)


def test_the_macro_spark_duckdb_and_python_have_one_bucket(answers):
    expected = [
        (one_id, bucket("EXP-WEALTH-01", one_id)) for one_id in range(1_000_000_000_001, 1_000_000_000_501)
    ]
    assert dict(expected)[1_000_000_000_001] == 1742
    if answers["engine"] == "spark":
        _check_buckets_of_spark(answers["lake"].spark, expected)
    controls = {name for name, one_id in ONE.items() if bucket("GCG-2026H1", one_id) < 500}
    assert {name for name in PEOPLE if name != "gus" and answers[name]["is_global_control"]} == controls - {
        "gus"
    }


def _check_buckets_of_spark(spark, expected):
    macro = (PROJECT / "macros" / "bucket.sql").read_text()
    sql = jinja2.Environment(autoescape=False).from_string(
        macro + """{{ bucket("'EXP-WEALTH-01'", "one_id") }}"""
    )
    people = [one_id for one_id, _ in expected]
    by_spark = salted_bucket_sql("'EXP-WEALTH-01'", "one_id")
    rows = spark.sql(
        f"select one_id, {sql.render()} as macro, {by_spark} as spark from range({people[0]}, {people[-1] + 1}) t(one_id)"
    ).collect()
    assert sorted((row.one_id, row.macro) for row in rows) == expected
    assert sorted((row.one_id, row.spark) for row in rows) == expected


@pytest.mark.slow
def test_many_people_are_answered_as_few_are(answers, monkeypatch):
    import tags.build.computation as computation

    monkeypatch.setattr(computation, "SMALL_PEOPLE", 0)
    tags.build_tags(answers["lake"], D)
    lake = answers["lake"]
    assert {table: table_hash(lake.settings, table) for table in answers["hashes"]} == answers["hashes"]


def test_every_model_keeps_its_key_and_passes_its_unit_test(answers):
    """One run of dbt for all of them: the night leaves them out."""
    unit_tests = load_yaml(MODELS / "unit_tests.yml")["unit_tests"]
    keys = [
        test
        for model in load_yaml(MODELS / "intermediate.yml")["models"]
        for test in model.get("data_tests", [])
        if "deep" in test["one_row_per"].get("config", {}).get("tags", [])
    ]
    assert _dbt_tests(answers["lake"], answers["engine"]) == len(unit_tests) + len(keys)


def _dbt_tests(lake, engine) -> int:
    project = lake.settings.generated / NIGHT
    sources = source_tables(compile_tags(lake.settings.workspace))
    seconds = run_dbt(
        lake, project, D, sources, engine, command=("test", "--select", "test_type:unit", "tag:deep")
    )
    return len(seconds)


FAILURES = {
    "select naam from (select '13800138000' as name)": "UNRESOLVED_COLUMN.WITH_SUGGESTION: A column, variable, or function parameter with name `naam` cannot be resolved",
    "select raise_error(concat('张三 ', '13800138000')) as x": "USER_RAISED_EXCEPTION: a check of the model itself",
    "select assert_true(name like '7%') as x from values ('13800138000') t(name)": "USER_RAISED_EXCEPTION",
    "select make_date(2026, 13, int(id)) as x, element_at(array(id), int(id) + 2) as y, decode(unhex('FF'), 'no set') from range(9)": "INVALID_PARAMETER_VALUE.CHARSET",
}  # fmt: skip


def test_a_model_that_fails_is_named_with_its_cause_and_without_a_value(answers, tmp_path):
    lake = answers["lake"]
    if answers["engine"] != "spark":
        pytest.skip("the sentences are Spark's")
    project = dict(yaml.safe_load((PROJECT / "compiled" / "dbt_project.yml").read_text()))
    project |= {"model-paths": ["models"], "macro-paths": ["macros"]}
    (tmp_path / "dbt_project.yml").write_text(yaml.safe_dump(project))
    shutil.copy(PROJECT / "compiled" / "profiles.yml", tmp_path)
    (tmp_path / "models").mkdir()
    for number, (sql, cause) in enumerate(FAILURES.items()):
        for old in (tmp_path / "models").iterdir():
            old.unlink()
        (tmp_path / "models" / f"site_{number}.sql").write_text("{{ config(materialized='table') }}\n" + sql)
        with pytest.raises(StepFailed) as failure:
            run_dbt(lake, tmp_path, D, [], "spark", command=("run",))
        message = failure.value.message
        assert message.startswith(f"the dbt node 'site_{number}' failed: {cause}"), message
        assert "\n" not in message and "13800138000" not in message and "张三" not in message


def test_a_model_that_breaks_its_key_is_named_by_the_night(answers):
    lake = answers["lake"]
    compilation = compile_tags(lake.settings.workspace)
    stored = ("int_profiles_keyed", "int_account_owners", "int_balance_spans")
    assert {
        name: count for name, count in broken_keys(lake, compilation).items() if name in stored
    } == dict.fromkeys(stored, 0)
    folder = Path(lake.path("tags_work.int_account_owners"))
    rows = pq.read_table(folder)
    nameless = rows.slice(0, 1).set_column(
        rows.column_names.index("account_id"), "account_id", pa.array([None], pa.string())
    )
    file = folder / "twice.parquet"
    try:
        pq.write_table(pa.concat_tables([rows.slice(0, 2), nameless], promote_options="permissive"), file)
        counts = broken_keys(lake, compilation)
        assert counts["int_account_owners"] == 3
        with pytest.raises(
            GateStopped, match=r"broken_keys is 3, must be at most 0 .*\[keys: int_account_owners\]"
        ):
            _judge(lake, [], {}, counts, D)
    finally:
        file.unlink()
