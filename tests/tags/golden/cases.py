"""Golden cases: people drawn in books, what their tags must be by the definition, and why; nothing here is computed by the product.

A book is a module of ``tests/tags/golden/books`` with ``PEOPLE``, ``ROWS`` (table and drawn rows) and ``CASES``. A case says of one person and
tag on one day the answer that was worked out by hand, its kind and the reason. The kinds:

- ``positive``: what counts is there, and the answer follows from it;
- ``negative``: what looks alike is there and does not count;
- ``boundary``: the last that counts or the first that does not: a day, an amount, an order in a tie;
- ``null``: there is no answer, with its reason;
- ``default``: nothing is there, and the value that stands for absence is given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lakehouse.contracts.reading import contract
from tests.tags.drawn import rows_of, write

D = dt.date(2024, 3, 31)
"""The day of most cases: a month end; the last complete month is the February of a leap year."""
KINDS = ("positive", "negative", "boundary", "null", "default")
FIRST_ONE_ID = 2_000_000_000_001
# Columns that a contract requires and no case is about.
DEFAULTS: dict[str, dict[str, Any]] = {
    "trusted.customers": {"kind": "customer"},
    "trusted.identifier_observations": {"role": "identity", "observed_on": "2020-01-01"},
    "trusted.accounts": {
        "currency": "CNY", "status": "open", "account_type": "savings", "opened_on": "2020-01-01",
    },
    "trusted.relationships": {
        "relationship_type": "person_account", "from_source": "bank", "to_source": "bank", "role": "owner",
    },
    "trusted.balances": {"currency": "CNY", "product_class": "demand"},
    "trusted.transactions": {"currency": "CNY", "amount": "1", "amount_base": "1", "direction": "debit",
                             "transaction_type": "PURCHASE", "initiator": "C"},
    "trusted.holdings": {"currency": "CNY", "status": "active", "balance": "100"},
    "trusted.loans": {"currency": "CNY", "status": "active"},
    "trusted.cards": {"currency": "CNY", "card_type": "credit"},
    "trusted.consents": {"purpose": "marketing"},
    "trusted.account_controls": {"started_on": "2023-01-01"},
    "trusted.receipts": {"destination": "engine", "channel": "SMS", "status": "SENT"},
    "trusted.orders": {"currency": "CNY", "status": "completed"},
    "trusted.order_lines": {"currency": "CNY", "unit_price": "1", "line_number": "1", "quantity": "1"},
    "segments.recipients": {"destination": "engine"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What a tag of a person is on a day, by which kind of case, and why."""

    tag: str
    person: str
    kind: str
    answer: str
    why: str
    on: dt.date = D

    def fault(self, value: Any, reason: str | None) -> str | None:
        """Give what is wrong with an answer, None where it is the one worked out by hand."""
        same = reason == self.answer.removeprefix("null ") if value is None else shown(value) == self.answer
        if isinstance(value, Decimal) and not self.answer.startswith("null"):
            same = value == Decimal(self.answer)
        told = f"null {reason}" if value is None else shown(value)
        return (
            None
            if same
            else f"{self.person}.{self.tag} on {self.on} is {told}, not {self.answer}: {self.why}"
        )


def shown(value: Any) -> str:
    """Give a value as a case writes it: ``true``, ``{A, B}``, ``2024-03-31``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "{" + ", ".join(value) + "}"
    return str(value)


def cases_of(text: str, on: dt.date = D) -> list[Case]:
    """Give the cases of a drawn table; an empty tag is that of the row above."""
    cases: list[Case] = []
    for row in rows_of(text):
        tag = row["tag"] or cases[-1].tag
        assert row["kind"] in KINDS, f"{tag}: {row['kind']} is no kind of case"
        cases.append(Case(tag, row["person"], row["kind"], row["answer"], row["why"], on))
    return cases


def fill(
    lake: Any, table: str, rows: str | Iterable[dict[str, Any]], book: str, people: dict[str, int]
) -> None:
    """Write drawn rows with what their contract requires; keys that are not drawn are numbered, people in ``one_id`` are numbers."""
    drawn = rows_of(rows) if isinstance(rows, str) else list(rows)
    defaults = DEFAULTS.get(table, {})
    key = [name for name in contract(table).key if name not in ("source", "valid_from")]
    full = []
    for number, row in enumerate(drawn, start=1):
        known = {**defaults, **row}
        known.update(
            {name: people[known[name]] for name in ("one_id", "to_one_id") if known.get(name) in people}
        )
        full.append({**{name: f"{book}-{number}" for name in key if name not in known}, **known})
    write(lake, table, full)


def fill_people(
    lake: Any, people: dict[str, int], profiles: Iterable[tuple[str, str, str]], kinds: dict[str, str]
) -> None:
    """Write the people of all books, each with the profile of the bank and those of ``profiles`` (person, source, key)."""
    ids = [
        {"one_id": one_id, "anchor_profile_id": at, "created_on": "2020-01-01", "kind": kinds.get(name, "customer"),
         "status": "active", "profile_count": 1}
        for at, (name, one_id) in enumerate(people.items())
    ]  # fmt: skip
    write(lake, "identity.one_ids", ids)
    every = [*((name, "bank", name) for name in people), *profiles]
    write(
        lake,
        "identity.memberships",
        [
            {"one_id": people[name], "source": source, "source_key": key, "profile_id": at}
            for at, (name, source, key) in enumerate(every)
        ],
    )


def owned_accounts(*people: str, **columns: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Give the rows of one account for each person, called as they are, and of their owning it since it was opened."""
    return [
        ("trusted.accounts", [{"account_id": name, **columns} for name in people]),
        ("trusted.relationships", [{"from_key": name, "to_key": name} for name in people]),
    ]
