"""Golden cases of habits, groups, payrolls, credit, points, interests and shops: windows, ties, nulls.

The business date is 2026-03-31: 7 days begin on 03-25, 30 on 03-02, 90 on 01-01, 180 on 2025-10-03, 365 on 2025-04-01.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import Case, cases_of

D = dt.date(2026, 3, 31)
Rows = tuple[str, list[dict[str, Any]]]
PEOPLE = ("ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ivy", "jim", "kim", "lea")
KINDS = {"hal": "prospect"}
PROFILES: list[tuple[str, str, str]] = []


def _rows(table: str, text: str, **everywhere: Any) -> Rows:
    """Give a table and its drawn rows; ``everywhere`` gives columns the same value in every row."""
    return table, [{**everywhere, **row} for row in rows_of(text)]


def _table(names: str, *rows: tuple) -> str:
    """Give drawn rows of a table."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([f"| {names} |", *lines])


def _people() -> Iterator[Rows]:
    # Ann turns 60 on D, Bob on the day after. Ann moved less than three years ago, Bob exactly three; Cat stayed at home.
    # Of those Ann referred, Cat registered on the first day of the window, Dan the day before it, Eve on D. Fay names herself.
    yield _rows(
        "trusted.customers",
        """
        | source_key | kind     | birth_date | residence_city | registered_city | residence_since | is_merchant | registered_on | referrer_key | income_band |
        | ann        | customer | 1966-03-31 | c1             | c2              | 2023-04-01      | true        | 2020-01-01    | -            | -           |
        | bob        | customer | 1966-04-01 | c1             | c2              | 2023-03-31      | false       | 2020-01-01    | -            | -           |
        | cat        | customer | -          | c1             | c1              | 2026-01-01      | -           | 2025-04-01    | ann          | B3          |
        | dan        | customer | -          | c1             | -               | 2026-01-01      | -           | 2025-03-31    | ann          | -           |
        | eve        | customer | -          | -              | c1              | -               | -           | 2026-03-31    | ann          | -           |
        | fay        | customer | -          | -              | -               | -               | -           | 2026-01-01    | fay          | B1          |
        | gus        | customer | -          | -              | -               | -               | -           | -             | nobody       | B1          |
        | hal        | prospect | -          | -              | -               | -               | -           | 2026-04-01    | bob          | B1          |
        | ivy        | customer | -          | -              | -               | -               | -           | 2020-01-01    | -            | B1          |
        | jim        | customer | -          | -              | -               | -               | -           | 2020-01-01    | -            | B1          |
        | lea        | customer | -          | -              | -               | -               | -           | 2020-01-01    | -            | B1          |
    """,
    )
    yield _rows(
        "trusted.customers",
        """
        | source_key | is_merchant | valid_from | valid_to   |
        | kim        | true        | 2020-01-01 | 2026-03-31 |
        | kim        | -           | 2026-03-31 | -          |
    """,
        registered_on="2020-01-01",
        income_band="B1",
    )
    owners = [
        ("person_account", "bank", name, "bank", account, "owner", "-", "-")
        for name, account in (
            ("ann", "a1"), ("bob", "b1"), ("bob", "b2"), ("cat", "c1"), ("cat", "c2"), ("dan", "d1"), ("eve", "e1"), ("fay", "f1"),
            ("kim", "k1"), ("lea", "l1"),
        )
    ]  # fmt: skip
    # Bob is Eve's child, Dan somebody's parent; Cat was one until yesterday. Gus bound a wallet 179 days ago, Jim 180.
    yield _rows(
        "trusted.relationships",
        _table(
            "relationship_type | from_source | from_key | to_source | to_key | role | started_on | ended_on",
            *owners,
            ("person_household", "bank", "bob", "bank", "eve", "child", "-", "-"),
            ("person_household", "bank", "dan", "bank", "nobody", "parent", "2026-03-31", "-"),
            ("person_household", "bank", "cat", "bank", "ann", "parent", "-", "2026-03-31"),
            ("person_household", "bank", "fay", "bank", "ann", "spouse", "-", "-"),
            ("card_wallet", "bank", "gus1", "alipay", "w1", "wallet", "2025-10-03", "-"),
            ("card_wallet", "bank", "jim1", "alipay", "w2", "wallet", "2025-10-02", "-"),
        ),
    )
    yield _rows(
        "trusted.account_controls",
        """
        | control_id | source_key | control_type | grade | started_on | ended_on   |
        | 1          | gus        | FRAUD        | -     | 2026-01-01 | -          |
        | 2          | ivy        | AML_GRADE    | H     | 2026-01-01 | -          |
        | 3          | jim        | AML_GRADE    | MH    | 2026-01-01 | -          |
        | 4          | kim        | FRAUD        | -     | 2026-01-01 | 2026-03-31 |
    """,
    )


def _money() -> Iterator[Rows]:
    accounts = [(f"{n}1", "savings", "CNY", "open", "2020-01-01") for n in "abcdefkl"]
    accounts += [(f"{n}2", "loan", "CNY", "open", "2020-01-01") for n in "bc"]
    yield _rows(
        "trusted.accounts",
        _table("account_id | account_type | currency | status | opened_on", *accounts),
    )
    # Ann had 500 on 03-14 and 900 on 03-22; Bob nothing and 2,000; Cat 300 and 100. Custody is nobody's asset.
    yield _rows(
        "trusted.balances",
        """
        | account_id | product_class | balance_on | balance | balance_base |
        | a1         | demand        | 2026-03-01 | 500     | 500          |
        | a1         | demand        | 2026-03-16 | 900     | 900          |
        | a1         | custody       | 2026-03-16 | 9999    | 9999         |
        | a1         | demand        | 2026-03-23 | 5000    | 5000         |
        | b1         | demand        | 2026-03-01 | 2000    | 2000         |
        | c1         | demand        | 2026-03-20 | 300     | 300          |
        | c1         | demand        | 2026-03-31 | 100     | 100          |
    """,
        currency="CNY",
    )
    yield _rows(
        "trusted.reference_values",
        """
        | code_set | code | parent_code |
        | mcc      | 5411 | GROCERY     |
        | mcc      | 5812 | DINING      |
        | mcc      | 8211 | EDUCATION   |
        | mcc      | 9999 | -           |
    """,
    )
    days = (
        ("a1", "2026-03-15 2026-02-15 2026-01-10 2025-12-10 2025-11-20 2025-10-10 2025-09-15 2025-08-15", 1000),
        ("b1", "2026-02-28 2026-01-31", 700), ("c1", "2026-02-05 2026-02-05", 50), ("c1", "2026-03-24", 600),
        ("c1", "2026-03-24", 400), ("e1", "2026-02-10", 800), ("f1", "2026-03-25", 800),
        ("l1", "2026-03-20", 0),
    )  # fmt: skip
    payrolls = [
        (account, day, "credit", amount, "PAYROLL", "B", "-", "-", "-")
        for account, dates, amount in days
        for day in dates.split()
    ]
    payrolls.append(("c1", "2026-01-05", "credit", 900, "PAYROLL", "B", "true", "-", "-"))

    def bought(account, day, amount, merchant, *, card="k", reversal="-"):
        return (account, day, "debit", amount, "PURCHASE", "C", reversal, card, merchant)

    purchases = [
        # 100 each, and GROCERY in more rows; what was bought the day before the window does not count
        bought("a1", "2026-01-01", 60, "5411"), bought("a1", "2026-03-31", 40, "5411"), bought("a1", "2026-02-01", 100, "5812"),
        bought("a1", "2025-12-31", 900, "8211"),
        # 50 each in one row each: the smaller code
        bought("b1", "2026-02-01", 50, "5411"), bought("b1", "2026-02-02", 50, "5812"), bought("b1", "2026-01-01", 50, "8211"),
        # two of a known group, and one of none
        bought("c1", "2026-02-01", 50, "5411"), bought("c1", "2026-02-02", 50, "5812"), bought("c1", "2026-02-02", 50, "9999"),
        # one taken back and one without a card
        bought("d1", "2026-02-01", 10, "5411"), bought("d1", "2026-02-01", 10, "5411"),
        bought("d1", "2026-02-02", 30, "5812", reversal="true"), bought("d1", "2026-02-03", 500, "5812", card="-"),
        bought("e1", "2026-02-01", 10, "5411"), bought("e1", "2026-02-02", 10, "5411"), bought("e1", "2026-02-03", 300, "5812"),
        bought("f1", "2025-03-31", 300, "8211"),
    ]  # fmt: skip
    others = [
        ("a1", "2025-10-03", "debit", 30, "HOUSEHOLD", "B", "-", "-", "-"),
        ("a1", "2026-03-01", "debit", 30, "LOAN_PREPAY", "C", "true", "-", "-"),
        ("e1", "2026-01-01", "debit", 30, "LOAN_PREPAY", "B", "-", "-", "-"),
        ("e1", "2025-10-02", "debit", 30, "TAX", "C", "-", "-", "-"),
        ("f1", "2025-10-03", "debit", 30, "CASH", "C", "-", "-", "-"),
        # Dan's penalties: two on one day, one on the last day before the twelve months, one taken back
        *(
            ("d1", day, "debit", 1, "PENALTY_INTEREST", "S", "-", "-", "-")
            for day in ("2026-01-05", "2026-01-05", "2026-02-05", "2025-03-31")
        ),
        ("d1", "2026-03-05", "debit", 1, "PENALTY_INTEREST", "S", "true", "-", "-"),
    ]
    rows = [(at, *row) for at, row in enumerate([*payrolls, *purchases, *others])]
    yield _rows(
        "trusted.transactions",
        _table(
            "transaction_id | account_id | transacted_on | direction | amount_base | transaction_type | initiator | is_reversal | card_id | merchant_category",
            *rows,
        ),
        currency="CNY",
        amount="1",
    )
    # Ann's ledger at the edges of the twelve months; Bob has one entry in each of them, so that the ledger has arrived.
    months = [f"2025-{m:02}-15" for m in range(3, 13)] + ["2026-01-15", "2026-02-15"]
    entries = [
        ("a1", "2025-03-01", "FTP_MARGIN", 100), ("a1", "2026-02-28", "FEE", "20.50"), ("a1", "2026-01-15", "COST", 30),
        ("a1", "2025-02-28", "FEE", 999), ("a1", "2026-03-01", "FEE", 999), ("f1", "2026-03-01", "FEE", 5),
        *(("b1", day, "COST", 1) for day in months),
    ]  # fmt: skip
    yield _rows(
        "trusted.ledger",
        _table(
            "entry_id | account_id | booked_on | entry_type | amount",
            *((at, *entry) for at, entry in enumerate(entries)),
        ),
        currency="CNY",
    )
    yield _rows(
        "trusted.points",
        """
        | entry_id | source_key | booked_on  | entry_type | points | expires_on |
        | 1        | ann        | 2026-01-01 | EARN       | 100    | 2026-04-30 |
        | 2        | ann        | 2026-01-01 | EARN       | 50     | 2026-05-01 |
        | 3        | ann        | 2026-01-01 | EARN       | 30     | -          |
        | 4        | ann        | 2026-01-02 | SPEND      | -120   | -          |
        | 5        | bob        | 2026-01-01 | EARN       | 100    | 2026-04-01 |
        | 6        | bob        | 2026-01-01 | EARN       | 50     | 2026-03-31 |
        | 7        | bob        | 2026-01-02 | SPEND      | -20    | -          |
        | 8        | cat        | 2025-01-01 | EARN       | 50     | 2026-03-01 |
        | 9        | cat        | 2026-03-01 | EXPIRE     | -50    | -          |
        | 10       | cat        | 2026-03-01 | ADJUST     | 10     | -          |
        | 11       | dan        | 2026-03-01 | EARN       | 10     | 2026-04-30 |
        | 12       | dan        | 2026-03-01 | SPEND      | -25    | -          |
        | 13       | fay        | 2026-04-01 | EARN       | 70     | 2026-04-30 |
        | 14       | gus        | 2026-03-31 | EARN       | 40     | 2026-04-30 |
        | 15       | gus        | 2026-03-31 | EARN       | 2      | 2026-05-01 |
    """,
    )


def _credit() -> Iterator[Rows]:
    # Bob's loan is late on the due days 05-15 (told twice) and 2026-03-31; 2025-03-31 is a day too old. The source counts for
    # Cat. Dan's has no due day. Fay paid off before maturity on the first of the 90 days, Cat the day before, Bob on the day it
    # was due. Kim only applied. Lea's paid-off loan is no longer delivered.
    yield _rows(
        "trusted.loans",
        """
        | loan_id | account_id | valid_from | valid_to   | status   | last_due_on | days_past_due | past_due_count_12m | paid_off_on | matures_on |
        | lb1     | b2         | 2025-04-02 | 2025-06-01 | active   | 2025-03-31  | 2             | -                  | -           | 2027-01-01 |
        | lb1     | b2         | 2025-06-01 | 2025-07-01 | active   | 2025-05-15  | 3             | -                  | -           | 2027-01-01 |
        | lb1     | b2         | 2025-07-01 | 2026-01-01 | active   | 2025-05-15  | 40            | -                  | -           | 2027-01-01 |
        | lb1     | b2         | 2026-01-01 | -          | active   | 2026-03-31  | 1             | -                  | -           | 2027-01-01 |
        | lb2     | b1         | 2025-01-01 | -          | paid_off | -           | 0             | -                  | 2026-03-01  | 2026-03-01 |
        | lc1     | c2         | 2025-01-01 | -          | active   | 2026-03-15  | 9             | 5                  | -           | 2027-01-01 |
        | lc2     | c1         | 2025-01-01 | -          | paid_off | -           | 0             | -                  | 2025-12-31  | 2027-01-01 |
        | ld1     | d1         | 2025-01-01 | -          | active   | -           | 0             | -                  | -           | 2027-01-01 |
        | lf1     | f1         | 2025-01-01 | -          | paid_off | -           | 0             | -                  | 2026-01-01  | 2027-01-01 |
        | lk1     | k1         | 2025-01-01 | -          | applied  | -           | -             | -                  | -           | -          |
        | ll1     | l1         | 2025-01-01 | 2026-01-01 | paid_off | -           | 0             | -                  | 2025-06-01  | 2027-01-01 |
    """,
        currency="CNY",
        outstanding="1",
    )
    # Ann's card is 180 days old and used below 0.8, Bob's 179 days, Cat's used to 0.8; Dan has two; Eve's is late; Fay's has no limit.
    yield _rows(
        "trusted.cards",
        """
        | card_id | source_key | card_type | status | credit_limit | used_amount | days_past_due | statement_on | issued_on  |
        | ann1    | ann        | credit    | ACTIVE | 1000         | 799.99      | 0             | -            | 2025-10-02 |
        | bob1    | bob        | credit    | ACTIVE | 1000         | 1           | 0             | -            | 2025-10-03 |
        | cat1    | cat        | credit    | ACTIVE | 1000         | 800         | 0             | -            | 2020-01-01 |
        | dan1    | dan        | credit    | ACTIVE | 1000         | 1           | 0             | -            | 2020-01-01 |
        | dan2    | dan        | credit    | ACTIVE | 1000         | 1           | 0             | -            | 2026-03-31 |
        | eve1    | eve        | credit    | ACTIVE | 1000         | 1           | 1             | 2026-03-20   | 2020-01-01 |
        | eve2    | eve        | debit     | ACTIVE | -            | -           | -             | -            | 2020-01-01 |
        | fay1    | fay        | credit    | ACTIVE | -            | 1           | 0             | -            | 2020-01-01 |
        | gus1    | gus        | debit     | ACTIVE | -            | -           | -             | -            | 2020-01-01 |
        | jim1    | jim        | debit     | ACTIVE | -            | -           | -             | -            | 2020-01-01 |
    """,
        currency="CNY",
    )
    # What its source no longer states since today.
    yield _rows(
        "trusted.cards",
        "| card_id | source_key | status | valid_to   |\n| hal1 | hal | ACTIVE | 2026-03-31 |",
    )
    yield _rows(
        "trusted.loans", "| loan_id | account_id | valid_to   |\n| lf2 | f1 | 2026-03-31 |", outstanding="1"
    )
    yield _rows("trusted.holdings", "| account_id | product_class | valid_to   |\n| b1 | fund | 2026-03-31 |")
    yield _rows(
        "trusted.holdings",
        """
        | holding_id | account_id | product_class | balance | status   |
        | h1         | a1         | wealth        | 5       | redeemed |
        | h2         | e1         | time          | 5       | active   |
        | h3         | l1         | insurance     | 5       | active   |
    """,
        currency="CNY",
    )
    yield _rows(
        "trusted.leads",
        """
        | lead_id | source_key | received_on | scene   |
        | 1       | ivy        | 2025-10-03  | parking |
        | 2       | jim        | 2025-10-02  | parking |
        | 3       | kim        | 2026-03-01  | -       |
    """,
    )


def _contacts() -> Iterator[Rows]:
    yield _rows(
        "segments.recipients",
        _table("destination | recipient_key | one_id", *(("engine", name, name) for name in PEOPLE)),
    )
    receipts = [
        # 2 of 21 in PUSH, 3 of 22 in SMS
        ("ann", "r1", "PUSH", "OPENED", "03-01T10"), ("ann", "r2", "SMS", "OPENED", "03-01T10"), ("ann", "r2", "SMS", "CLICKED", "03-01T11"),
        ("ann", "r3", "SMS", "DELIVERED", "03-01T12"), ("ann", "r4", "CALL", "SENT", "03-01T12"),
        # WeChat after two contacts elsewhere that were never opened, whatever EMAIL's rate
        ("bob", "r1", "SMS", "DELIVERED", "03-10T10"), ("bob", "r2", "PUSH", "DELIVERED", "03-11T10"), ("bob", "r3", "WECHAT", "OPENED", "03-20T10"),
        ("bob", "r4", "EMAIL", "OPENED", "03-01T10"), ("bob", "r4", "EMAIL", "CLICKED", "03-01T10"),
        # one before and one after
        ("cat", "r1", "SMS", "DELIVERED", "03-10T10"), ("cat", "r2", "PUSH", "DELIVERED", "03-21T10"), ("cat", "r3", "WECHAT", "OPENED", "03-20T10"),
        ("cat", "r4", "EMAIL", "OPENED", "03-01T10"), ("cat", "r4", "EMAIL", "CLICKED", "03-01T10"),
        # one rate: the later, and at one instant the first by code
        ("dan", "r1", "SMS", "OPENED", "03-05T10"), ("dan", "r2", "PUSH", "OPENED", "03-05T09"),
        ("eve", "r1", "SMS", "OPENED", "03-05T10"), ("eve", "r2", "PUSH", "OPENED", "03-05T10"),
        ("fay", "r1", "SMS", "DELIVERED", "03-05T10"), ("jim", "r1", "WORKLIST", "OPENED", "03-05T10"),
    ]  # fmt: skip
    rows = [
        (at, run, who, channel, status, f"2026-{when}:00:00", f"2026-{when[:5]}")
        for at, (who, run, channel, status, when) in enumerate(receipts)
    ]
    rows.append((98, "r1", "gus", "SMS", "OPENED", "2025-10-03T10:00:00", "2025-10-03"))
    rows.append((99, "r1", "hal", "SMS", "OPENED", "2025-10-02T10:00:00", "2025-10-02"))
    yield _rows(
        "trusted.receipts",
        _table("receipt_id | run_id | recipient_key | channel | status | event_at | event_on", *rows),
        destination="engine",
    )


def _events() -> Iterator[Rows]:
    """Hours are those of Shanghai, eight hours ahead of UTC."""
    events = [
        # two subjects of two views each: the one seen last; two devices of two events each
        ("ann", "content_view", "2026-03-02T01:00", "fund", "-", "phone", "-"), ("ann", "content_view", "2026-03-03T01:00", "fund", "-", "phone", "-"),
        ("ann", "content_view", "2026-03-04T01:00", "gold", "-", "tablet", "-"), ("ann", "content_view", "2026-03-05T01:00", "gold", "-", "tablet", "-"),
        ("ann", "product_search", "2026-03-02T01:00", "loan", "-", "-", "-"), ("ann", "product_search", "2026-03-31T01:00", "fund", "-", "-", "-"),
        ("ann", "product_search", "2026-03-31T01:00", "-", "-", "-", "-"), ("ann", "product_search", "2026-03-01T01:00", "old", "-", "-", "-"),
        ("ann", "activity_join", "2026-03-25T10:00", "-", "activity", "-", "x"),
        # done at the same instant
        ("bob", "activity_view", "2026-03-25T10:00", "-", "activity", "-", "x"), ("bob", "activity_done", "2026-03-25T10:00", "-", "-", "-", "x"),
        ("bob", "content_view", "2026-03-06T10:00", "loan", "content", "-", "-"), ("bob", "content_view", "2026-03-07T10:00", "loan", "-", "-", "-"),
        # the day before each window
        ("cat", "activity_view", "2026-03-24T10:00", "-", "activity", "-", "x"), ("cat", "content_view", "2026-03-05T10:00", "loan", "-", "-", "-"),
        ("cat", "content_view", "2026-03-01T10:00", "loan", "-", "-", "-"),
        # done, and joined again; a view of nothing that has a name
        ("dan", "activity_done", "2026-03-26T09:00", "-", "-", "-", "x"), ("dan", "activity_join", "2026-03-26T10:00", "-", "activity", "-", "x"),
        ("dan", "content_view", "2026-03-26T09:00", "-", "content", "-", "-"), ("dan", "content_view", "2026-03-26T09:00", "-", "content", "-", "-"),
        ("dan", "content_view", "2026-03-26T09:00", "-", "-", "-", "-"),
        # another activity was done; two bands of two events each: the one seen last
        ("eve", "activity_view", "2026-03-26T10:00", "-", "activity", "phone", "x"), ("eve", "activity_done", "2026-03-27T10:00", "-", "-", "phone", "y"),
        ("eve", "login", "2026-01-01T22:00", "-", "-", "-", "-"), ("eve", "login", "2026-01-02T22:00", "-", "-", "-", "-"),
        # 08:59 three times, 09:00 twice
        *(("fay", "login", f"2026-02-0{n}T00:59", "-", "-", "phone", "-") for n in (1, 2, 3)),
        *(("fay", "login", f"2026-03-0{n}T01:00", "-", "-", "desktop", "-") for n in (1, 2)),
        # the first day of 180 and the day before it
        ("lea", "activity_view", "2025-10-02T16:00", "-", "activity", "-", "x"), ("fay", "activity_view", "2025-10-02T15:59", "-", "activity", "-", "x"),
        # two in the window, the third the day before it
        *(("lea", "login", when, "-", "-", "phone", "-") for when in ("2025-12-30T17:00", "2026-01-01T10:00", "2026-01-02T10:00")),
    ]  # fmt: skip
    rows = []
    for at, (who, name, when, topic, item_class, device, item) in enumerate(events):
        day = dt.datetime.fromisoformat(when) + dt.timedelta(hours=8)
        rows.append((at, who, name, f"{when}:00", day.date(), topic, item_class, device, item))
    yield _rows(
        "trusted.events",
        _table(
            "event_id | source_key | event_name | occurred_at | occurred_on | topic | item_class | device_type | item_id",
            *rows,
        ),
    )


def _shop() -> Iterator[Rows]:
    # Ann orders twice on one day, then after 10 and 20 days; Cat after 1 and 8, then returns; Dan after 7; Eve once, and once cancelled.
    orders = [
        ("a1", "ann", "2026-01-01", "paid", "-"), ("a2", "ann", "2026-01-01", "paid", "-"), ("a3", "ann", "2026-01-11", "paid", "-"),
        ("a4", "ann", "2026-01-31", "paid", "-"), ("b1", "bob", "2026-01-01", "paid", "-"), ("c1", "cat", "2026-01-01", "paid", "-"),
        ("c2", "cat", "2026-01-02", "paid", "-"), ("c3", "cat", "2026-01-10", "paid", "-"), ("c4", "cat", "2026-03-10", "paid", "true"),
        ("d1", "dan", "2026-01-01", "paid", "-"), ("d2", "dan", "2026-01-08", "paid", "-"), ("e1", "eve", "2025-03-31", "paid", "-"),
        ("e2", "eve", "2026-01-01", "cancelled", "-"),
    ]  # fmt: skip
    yield _rows(
        "trusted.orders",
        _table("order_id | source_key | ordered_on | status | is_return", *orders),
        currency="CNY",
    )
    on = {order[0]: order[2] for order in orders}
    lines = [
        # 100 each, and books in more lines
        ("a1", "toys", 100), ("a3", "books", 60), ("a4", "books", 40),
        # 50 each in one line each: the smaller code
        ("b1", "toys", 50), ("b1", "art", 50),
        # 20 are left of the toys
        ("c1", "toys", 100), ("c2", "books", 30), ("c4", "toys", -80),
        # no category; too old; cancelled
        ("d1", "-", 100), ("e1", "toys", 100), ("e2", "toys", 100),
    ]  # fmt: skip
    rows = [(order, at, category, amount, on[order]) for at, (order, category, amount) in enumerate(lines)]
    yield _rows(
        "trusted.order_lines",
        _table("order_id | line_number | category | amount | ordered_on", *rows),
        quantity="1",
        unit_price="1",
        currency="CNY",
    )


ROWS = [rows for part in (_people, _money, _credit, _contacts, _events, _shop) for rows in part()]
REASONED = cases_of(
    """
    | tag                    | person | kind     | answer | why |
    | payday                 | ann    | positive | 10     | three of the last six; the 15th has more in eight |
    |                        | ann    | boundary | 10     | the sixth counts and the seventh, of a 15th, does not |
    |                        | bob    | boundary | 28     | a 28th and a 31st: the later |
    |                        | cat    | negative | 24     | two wages on a 5th are one payroll, another was taken back |
    |                        | eve    | positive | 10     | one is enough |
    |                        | fay    | positive | 25     | one six days ago |
    |                        | lea    | boundary | 20     | wages of nothing were paid on a day all the same |
    | payroll_retention_ratio_7d | ann | positive | 0.4   | from 500 to 900 after wages of 1,000; custody is no asset, and 5,000 came on the eighth day |
    |                        | bob    | boundary | 1      | more than the wages is no more than all of them |
    |                        | cat    | boundary | 0      | paid seven days ago; less than before is nothing |
    |                        | eve    | negative | 0      | no balance |
    |                        | fay    | boundary | null not_applicable | paid six days ago |
    |                        | lea    | boundary | null not_applicable | wages of nothing have no share |
    | top_spend_category_90d | ann    | positive | GROCERY | 100 as in DINING, in two rows |
    |                        | ann    | boundary | GROCERY | the first and the last day of 90 count, 900 the day before do not |
    |                        | bob    | boundary | DINING | 50 in each of three: the smaller code |
    |                        | cat    | boundary | null not_applicable | two of a known group, and one of none |
    |                        | dan    | negative | null not_applicable | one taken back, one without a card |
    |                        | eve    | positive | DINING | 300 of one row before 20 of two |
    |                        | fay    | negative | null not_applicable | bought a year ago |
    | contribution_12m       | ann    | positive | 90.50  | 100 and 20.50 less costs of 30 |
    |                        | ann    | boundary | 90.50  | the first and the last day of twelve months, not the days around |
    |                        | bob    | positive | -12    | costs of each month |
    |                        | fay    | negative | null unknown | booked in the month that is not over |
    | points_balance         | ann    | positive | 60     | 180 given, 120 spent |
    |                        | bob    | boundary | 100    | 50 ended today; the spent 20 were of those |
    |                        | cat    | negative | 10     | 50 ended and were booked as ended; a correction of 10 |
    |                        | dan    | positive | -15    | more was taken than given |
    |                        | fay    | boundary | 0      | given tomorrow |
    |                        | gus    | boundary | 42     | given today |
    | points_expiring_30d    | ann    | negative | 0      | what ends in 30 days is spent |
    |                        | bob    | positive | 100    | end tomorrow |
    |                        | dan    | negative | 0      | spent |
    |                        | fay    | negative | 0      | given tomorrow |
    |                        | gus    | boundary | 40     | on the thirtieth day, not the 2 of the day after |
    | overdue_count_12m      | ann    | positive | 0      | a card that was never late |
    |                        | bob    | boundary | 2      | a due day stated twice and today's; not that of a year ago |
    |                        | cat    | positive | 5      | as the source counts |
    |                        | dan    | boundary | 2      | two days of penalty interest; not that of a year ago, nor one taken back |
    |                        | eve    | positive | 1      | a late statement |
    |                        | fay    | negative | 0      | a loan paid off is no credit, a card is |
    |                        | gus    | negative | null not_applicable | a debit card |
    |                        | kim    | negative | null not_applicable | only applied |
    | has_running_loan       | bob    | positive | true   | one that runs beside one paid off |
    |                        | cat    | positive | true   | runs |
    |                        | dan    | positive | true   | runs |
    |                        | fay    | boundary | false  | no longer stated since today |
    |                        | kim    | negative | false  | only applied |
    |                        | lea    | negative | false  | paid off |
    | has_loan_paid_early_90d | fay   | positive | true   | a year before it was due |
    |                        | fay    | boundary | true   | on the first of 90 days |
    |                        | cat    | boundary | false  | a day earlier |
    |                        | bob    | boundary | false  | on the day it was due |
    |                        | lea    | negative | false  | long ago |
    | has_loan_prepaid_90d   | eve    | positive | true   | a repayment before its day |
    |                        | eve    | boundary | true   | on the first of 90 days |
    |                        | ann    | negative | false  | taken back |
    | has_early_repayment_90d | eve   | positive | true   | prepaid |
    |                        | fay    | boundary | true   | paid off on the first of 90 days |
    |                        | cat    | boundary | false  | paid off a day earlier |
    |                        | ann    | negative | false  | taken back |
    |                        | bob    | negative | false  | paid off when due |
    | is_open_to_first_loan  | ann    | positive | true   | never borrowed |
    |                        | bob    | negative | false  | borrows |
    |                        | cat    | negative | false  | borrows |
    |                        | dan    | negative | false  | borrows |
    |                        | eve    | positive | true   | never borrowed |
    |                        | fay    | negative | false  | paid off |
    |                        | gus    | negative | false  | controlled |
    |                        | hal    | positive | true   | a prospect |
    |                        | ivy    | negative | false  | of high grade |
    |                        | jim    | boundary | true   | the grade below |
    |                        | kim    | boundary | true   | a control that ended today, a loan only applied for |
    |                        | lea    | negative | false  | a loan that is no longer stated |
    | is_first_loan_eligible | ann    | positive | true   | wages |
    |                        | hal    | positive | true   | a known income |
    |                        | jim    | boundary | true   | the grade below the high one |
    |                        | kim    | boundary | true   | a control that ended today |
    |                        | eve    | negative | false  | neither income nor wages twice |
    |                        | gus    | negative | false  | controlled |
    |                        | ivy    | negative | false  | of high grade |
    |                        | fay    | negative | false  | borrowed |
    | active_credit_card_count | ann  | positive | 1      | one |
    |                        | bob    | positive | 1      | one |
    |                        | cat    | positive | 1      | one |
    |                        | dan    | positive | 2      | two |
    |                        | eve    | positive | 1      | a credit and a debit card |
    |                        | fay    | positive | 1      | one without a limit |
    |                        | gus    | negative | 0      | a debit card |
    |                        | hal    | boundary | 0      | no longer stated since today |
    | active_credit_card_days | ann   | positive | 180    | since 2 October |
    |                        | bob    | positive | 179    | since 3 October |
    |                        | cat    | positive | 2281   | since 2020 |
    |                        | dan    | boundary | 0      | the later of two, issued today |
    |                        | eve    | positive | 2281   | since 2020 |
    |                        | fay    | positive | 2281   | since 2020 |
    |                        | gus    | negative | null not_applicable | a debit card |
    | is_second_card_candidate | ann  | positive | true   | one card, on time |
    |                        | ann    | boundary | true   | of 180 days, used to 0.79999 |
    |                        | bob    | boundary | false  | of 179 days |
    |                        | cat    | boundary | false  | used to 0.8; late |
    |                        | dan    | negative | false  | two cards |
    |                        | eve    | negative | false  | late |
    |                        | fay    | negative | false  | no limit is known |
    |                        | gus    | negative | false  | a debit card |
    | referral_count_365d    | ann    | positive | 2      | two who registered |
    |                        | ann    | boundary | 2      | on the first of 365 days and today, not the day before |
    |                        | bob    | boundary | 0      | registers tomorrow |
    |                        | fay    | negative | 0      | names herself |
    | has_activity_180d      | ann    | positive | true   | joined |
    |                        | bob    | positive | true   | viewed and done |
    |                        | cat    | positive | true   | viewed |
    |                        | dan    | positive | true   | done and joined |
    |                        | eve    | positive | true   | viewed |
    |                        | lea    | boundary | true   | on the first of 180 days, by the workspace's clock |
    |                        | fay    | boundary | false  | a minute earlier |
    |                        | fay    | negative | false  | logs in |
    | has_dropped_out_of_activity_7d | ann | boundary | true | on the first of seven days |
    |                        | cat    | boundary | false  | a day earlier |
    |                        | bob    | boundary | false  | done at the same instant |
    |                        | bob    | negative | false  | done |
    |                        | dan    | positive | true   | done, and joined again |
    |                        | eve    | positive | true   | another activity was done |
    | channel_habit          | ann    | positive | SMS    | 3 of 22 before 2 of 21; a call was only made |
    |                        | bob    | boundary | WECHAT | after two unopened elsewhere, whatever EMAIL's share |
    |                        | cat    | boundary | EMAIL  | one unopened before and one after |
    |                        | dan    | boundary | SMS    | of equal shares the later answer |
    |                        | eve    | boundary | PUSH   | at one instant the first by code |
    |                        | fay    | negative | NONE   | delivered and not opened |
    |                        | gus    | boundary | SMS    | on the first of 180 days |
    |                        | hal    | boundary | NONE   | a day earlier |
    |                        | jim    | negative | NONE   | a worklist is no channel of theirs |
    | has_financial_product  | lea    | positive | true   | insurance |
    |                        | ann    | negative | false  | redeemed |
    |                        | eve    | negative | false  | a time deposit |
    |                        | bob    | boundary | false  | no longer stated since today |
    | has_bill_paid_180d     | ann    | positive | true   | a household bill |
    |                        | ann    | boundary | true   | on the first of 180 days |
    |                        | eve    | boundary | false  | taxes a day earlier |
    |                        | fay    | negative | false  | cash |
    | has_scene_lead_180d    | ivy    | positive | true   | a car park |
    |                        | ivy    | boundary | true   | on the first of 180 days |
    |                        | jim    | boundary | false  | a day earlier |
    |                        | kim    | negative | false  | of no scene |
    | scenario_ladder        | ann    | boundary | QUASI_FINANCIAL | a bill on the first of 180 days; what was redeemed does not count |
    |                        | bob    | positive | FINANCIAL | a loan |
    |                        | cat    | positive | FINANCIAL | a loan |
    |                        | dan    | positive | FINANCIAL | a loan |
    |                        | eve    | boundary | NON_FINANCIAL | taxes 180 days ago are too old; an activity |
    |                        | fay    | boundary | CASH_FLOW | cash on the first of 180 days |
    |                        | gus    | boundary | QUASI_FINANCIAL | a wallet 179 days ago |
    |                        | ivy    | boundary | NON_FINANCIAL | a lead on the first of 180 days |
    |                        | jim    | boundary | null not_applicable | a wallet and a lead 180 days ago |
    |                        | kim    | negative | null not_applicable | a lead of no scene |
    |                        | lea    | positive | FINANCIAL | insurance |
    | top_interest_30d       | ann    | positive | gold   | two subjects of two views: the one seen last |
    |                        | bob    | boundary | loan   | two of three views |
    |                        | cat    | boundary | null not_applicable | the third is of the day before |
    |                        | dan    | negative | null not_applicable | the third shows nothing that has a name |
    | content_view_count_30d | ann    | positive | 4      | searches do not count |
    |                        | bob    | positive | 2      | two |
    |                        | cat    | boundary | 1      | not that of the day before |
    |                        | dan    | positive | 3      | with and without a name |
    |                        | eve    | negative | 0      | of activities |
    | search_topics_30d      | ann    | positive | {fund, loan} | in order; one search has no topic |
    |                        | ann    | boundary | {fund, loan} | from the first of 30 days, not the day before |
    |                        | bob    | negative | {}     | views |
    | preferred_hour_band    | ann    | positive | 09-12  | nine o'clock by the workspace's clock |
    |                        | bob    | boundary | 18-21  | at six sharp |
    |                        | cat    | boundary | 18-21  | at six sharp |
    |                        | dan    | positive | 14-18  | four at five, one at six |
    |                        | eve    | boundary | 18-21  | two bands of two: the one seen last |
    |                        | fay    | boundary | 06-09  | three at 8:59, two at nine |
    |                        | gus    | negative | null not_applicable | opens a message, which is no event |
    |                        | lea    | boundary | null not_applicable | two, and one the day before the window |
    | preferred_device       | ann    | boundary | tablet | two of each: the one seen last |
    |                        | fay    | positive | phone  | three before two |
    |                        | eve    | boundary | null not_applicable | two |
    |                        | lea    | boundary | null not_applicable | two, and one the day before the window |
    |                        | dan    | negative | null not_applicable | events of no device |
    | top_category_365d      | ann    | boundary | books  | 100 each: the one of more lines |
    |                        | bob    | boundary | art    | 50 each in one line: the smaller code |
    |                        | cat    | positive | books  | 30; of 100 for toys 20 are left |
    |                        | dan    | negative | null not_applicable | of no category |
    |                        | eve    | boundary | null not_applicable | a day too old, and one cancelled |
    | purchase_interval_days | ann    | positive | 15     | 10 and 20 days; two orders of a day are one |
    |                        | cat    | positive | 4.5    | 1 and 8 days; a return is no order |
    |                        | dan    | boundary | 7      | two orders are enough |
    |                        | bob    | boundary | null not_applicable | one order |
    |                        | eve    | negative | null not_applicable | one order and one cancelled |
    | is_parent              | eve    | positive | true   | Bob is her child |
    |                        | dan    | boundary | true   | since today |
    |                        | cat    | boundary | false  | until yesterday |
    |                        | bob    | negative | false  | is a child |
    |                        | fay    | negative | false  | is a spouse |
    | has_school_fee_365d    | ann    | positive | true   | in December |
    |                        | bob    | positive | true   | in January |
    |                        | fay    | boundary | false  | a day before the 365 |
    |                        | cat    | negative | false  | groceries |
    | is_merchant            | ann    | positive | true   | as the source says |
    |                        | bob    | negative | false  | as the source says |
    |                        | kim    | boundary | false  | no longer stated since today |
    | is_new_in_city         | ann    | positive | true   | moved |
    |                        | ann    | boundary | true   | a day less than three years ago |
    |                        | bob    | boundary | false  | three years ago |
    |                        | cat    | negative | false  | stayed at home |
    |                        | dan    | negative | false  | where from is unknown |
    | special_groups         | ann    | positive | {NEWCITY, PARENT, PAYROLL, SHOP, SILVER} | all, in order |
    |                        | ann    | boundary | {NEWCITY, PARENT, PAYROLL, SHOP, SILVER} | 60 today, moved a day less than three years ago |
    |                        | bob    | boundary | {PARENT, PAYROLL} | 60 tomorrow, moved three years ago, pays school fees |
    |                        | dan    | positive | {PARENT} | somebody's parent |
    |                        | eve    | positive | {PARENT} | has a child |
    |                        | cat    | negative | {}     | was a parent until yesterday, stayed at home |
    |                        | fay    | negative | {}     | a spouse |
""",
    on=D,
)
# What a tag is for everybody of whom nothing is said above.
ABSENT = """
    | tag                        | answer |
    | payday                     | null not_applicable |
    | payroll_retention_ratio_7d | null not_applicable |
    | top_spend_category_90d     | null not_applicable |
    | contribution_12m           | null unknown |
    | points_balance             | 0 |
    | points_expiring_30d        | 0 |
    | overdue_count_12m          | null not_applicable |
    | has_running_loan           | false |
    | has_loan_paid_early_90d    | false |
    | has_loan_prepaid_90d       | false |
    | has_early_repayment_90d    | false |
    | is_first_loan_eligible     | false |
    | active_credit_card_count   | 0 |
    | active_credit_card_days    | null not_applicable |
    | is_second_card_candidate   | false |
    | referral_count_365d        | 0 |
    | has_activity_180d          | false |
    | has_dropped_out_of_activity_7d | false |
    | channel_habit              | NONE |
    | has_financial_product      | false |
    | has_bill_paid_180d         | false |
    | has_scene_lead_180d        | false |
    | scenario_ladder            | null not_applicable |
    | top_interest_30d           | null not_applicable |
    | content_view_count_30d     | 0 |
    | search_topics_30d          | {} |
    | preferred_hour_band        | null not_applicable |
    | preferred_device           | null not_applicable |
    | top_category_365d          | null not_applicable |
    | purchase_interval_days     | null not_applicable |
    | is_parent                  | false |
    | has_school_fee_365d        | false |
    | is_merchant                | false |
    | is_new_in_city             | false |
    | special_groups             | {} |
"""


def _absent() -> Iterator[Case]:
    """Give the cases of absence: everybody whom no reasoned case of a tag is about."""
    reasoned = {(case.tag, case.person) for case in REASONED}
    for row in rows_of(ABSENT):
        kind = "null" if row["answer"].startswith("null") else "default"
        for person in PEOPLE:
            if (row["tag"], person) not in reasoned:
                yield Case(row["tag"], person, kind, row["answer"], "nothing of theirs counts", D)


CASES = [*REASONED, *_absent()]
