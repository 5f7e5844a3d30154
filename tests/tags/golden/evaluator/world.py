"""What was known on a day, by person: trusted tables as lists of dicts and the published map; no SQL, nothing of the product's tags.

``Person`` answers a tag by the function of its name in the modules beside, which are written from the definitions of the registry.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

Row = Mapping[str, Any]
ENDLESS = dt.date(9999, 12, 31)
NEVER = dt.date(1, 1, 1)
DAY = dt.timedelta(days=1)
FACTS = {
    "balances": "balance_on", "transactions": "transacted_on", "events": "occurred_on", "assessments": "assessed_on", "orders": "ordered_on",
    "order_lines": "ordered_on", "receipts": "event_on", "ledger": "booked_on", "points": "booked_on", "leads": "received_on",
}  # fmt: skip
STATES = (
    "customers", "identifier_observations", "accounts", "holdings", "loans", "cards", "consents", "relationships", "products", "reference_values",
    "branches", "employees",
)  # fmt: skip
TABLES = (
    *(f"trusted.{name}" for name in (*FACTS, *STATES, "account_controls")), "identity.memberships", "identity.one_ids", "identity.redirects",
    "identity.inheritances", "identity.golden_records", "segments.recipients", "segments.deliveries", "segments.assignments",
)  # fmt: skip

# The wide tags of the days published so far, where there are any.
PUBLISHED = "tags.customer_tags_daily"


@dataclass(frozen=True)
class Nothing:
    """A null and its reason."""

    reason: str


UNKNOWN, NOT_APPLICABLE, EXPIRED = Nothing("unknown"), Nothing("not_applicable"), Nothing("expired")
Answer = Callable[["Person"], Any]
ANSWERS: dict[str, Answer] = {}


def tag(answer: Answer) -> Answer:
    """Register the function that answers the tag of its name."""
    ANSWERS[answer.__name__] = answer
    return answer


def rounded(number: Fraction | Decimal | int, digits: int) -> Decimal:
    """Give a number with so many digits, a half away from zero."""
    exact = Fraction(number)
    scaled = exact * 10**digits
    whole = (abs(scaled) + Fraction(1, 2)).__floor__()
    return (Decimal(whole if scaled >= 0 else -whole) / 10**digits).quantize(
        Decimal(1).scaleb(-digits), ROUND_HALF_UP
    )


def money(number: Fraction | Decimal | int) -> Decimal:
    """Give an amount of money."""
    return rounded(number, 2)


def ratio(number: Fraction | Decimal | int) -> Decimal:
    """Give a ratio."""
    return rounded(number, 6)


def month_back(day: dt.date, months: int) -> dt.date:
    """Give the first day of the month so many months before that of a day."""
    at = day.year * 12 + day.month - 1 - months
    return dt.date(at // 12, at % 12 + 1, 1)


class World:
    """The tables of a lake as of a day, their rows by person; of ``nights`` those before the day were built too."""

    def __init__(
        self,
        tables: Mapping[str, list[dict[str, Any]]],
        day: dt.date,
        policy: Mapping[str, Any] | None = None,
        zone: str = "Asia/Shanghai",
        nights: Iterable[dt.date] = (),
    ) -> None:
        self.nights = sorted(night for night in nights if night < day)
        self.tables, self.day, self.policy, self.zone = tables, day, policy or {}, zone
        kinds = {row["one_id"]: row["kind"] for row in tables["identity.one_ids"]}
        members = [row for row in tables["identity.memberships"] if row.get("valid_to") is None]
        self.persons = {(row["source"], row["source_key"]): row["one_id"] for row in members}
        self.profiles = {
            profile: one_id
            for profile, one_id in self.persons.items()
            if kinds.get(one_id) in ("customer", "prospect")
        }
        self.fifths: dict[str, list[Any]] = {}
        self.published: dict[dt.date, list[Row]] = defaultdict(list)
        for row in tables.get(PUBLISHED, ()):
            self.published[row["as_of"]].append(row)
        self.redirects = {row["from_one_id"]: row["to_one_id"] for row in tables["identity.redirects"]}

    @cached_property
    def earlier(self) -> list[World]:
        """What was known on each of the nights before."""
        return [World(self.tables, night, self.policy, self.zone) for night in self.nights]

    def rows(self, name: str) -> list[Row]:
        """Give the rows of a trusted table: of facts what had arrived and happened, of states what was valid."""
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, list[Row]]:
        known: dict[str, list[Row]] = {}
        for name, event_day in FACTS.items():
            rows = self.tables[f"trusted.{name}"]
            known[name] = [
                row for row in rows if row["_arrived_on"] <= self.day and row[event_day] <= self.day
            ]
        for name in STATES:
            known[name] = [row for row in self.tables[f"trusted.{name}"] if self.is_valid(row)]
        return known

    def is_valid(self, row: Row) -> bool:
        """Tell whether a row of a state was known to hold on the day."""
        return row["valid_from"] <= self.day and (row["valid_to"] is None or row["valid_to"] > self.day)

    def holds(self, row: Row) -> bool:
        """Tell whether a relationship holds on the day, by what the source states."""
        return (row["started_on"] is None or row["started_on"] <= self.day) and (
            row["ended_on"] is None or row["ended_on"] > self.day
        )

    @cached_property
    def owners(self) -> dict[tuple[str, str], int | None]:
        """The owner of every account: of several stated ones the earliest, then the smallest key; None for one nobody knows."""
        stated: dict[tuple[str, str], list[tuple[dt.date, str, str]]] = defaultdict(list)
        for row in self.rows("relationships"):
            if row["relationship_type"] == "person_account" and row["role"] == "owner" and self.holds(row):
                stated[row["to_source"], row["to_key"]].append(
                    (row["started_on"] or ENDLESS, row["from_source"], row["from_key"])
                )
        return {account: self.profiles.get(min(owners)[1:]) for account, owners in stated.items()}

    @cached_property
    def accounts_of(self) -> dict[int, list[tuple[str, str]]]:
        """The accounts that a person owns, also those of which only the ownership is stated."""
        accounts: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for account, one_id in self.owners.items():
            if one_id is not None:
                accounts[one_id].append(account)
        return accounts

    def by_profile(self, name: str) -> dict[int, list[Row]]:
        """Give the rows of a table by the person of their profile."""
        return group((self.profiles.get((row["source"], row["source_key"])), row) for row in self.rows(name))

    def by_account(self, name: str) -> dict[int, list[Row]]:
        """Give the rows of a table by the owner of their account."""
        return group((self.owners.get((row["source"], row["account_id"])), row) for row in self.rows(name))

    @cached_property
    def of_person(self) -> dict[str, dict[int, list[Row]]]:
        """The rows of every table by person."""
        named = {
            name: self.by_profile(name)
            for name in (
                "customers",
                "identifier_observations",
                "events",
                "assessments",
                "orders",
                "consents",
                "points",
                "leads",
            )
        }
        owned = {
            name: self.by_account(name)
            for name in ("accounts", "balances", "transactions", "holdings", "loans", "ledger")
        }
        cards = group((self.holder(row), row) for row in self.rows("cards"))
        return {
            **named,
            **owned,
            "cards": cards,
            "lines": self._lines(),
            "contacts": self._contacts(),
            "controls": self._controls(),
        }

    def holder(self, card: Row) -> int | None:
        """Give whose a card is: its holder's, and the account owner's where none is named."""
        if card["source_key"] is not None:
            return self.profiles.get((card["source"], card["source_key"]))
        return self.owners.get((card["source"], card["account_id"]))

    def _lines(self) -> dict[int, list[Row]]:
        """Give the lines of orders that were not cancelled, by buyer, each with whether it takes back."""
        orders = {(row["source"], row["order_id"]): row for row in self.rows("orders")}
        pairs = []
        for line in self.rows("order_lines"):
            order = orders.get((line["source"], line["order_id"]))
            if order is None or order["source_key"] is None or order["status"] == "cancelled":
                continue
            value = line["amount"] if line["amount_base"] is None else line["amount_base"]
            takes_back = bool(order["is_return"]) or line["quantity"] < 0
            pairs.append(
                (
                    self.profiles.get((order["source"], order["source_key"])),
                    {**line, "value": value, "takes_back": takes_back},
                )
            )
        return group(pairs)

    @cached_property
    def receipts(self) -> list[Row]:
        """The receipts with a OneID of today and the purpose of the run, else what the receipt says, else marketing.

        Each once for the recipient and for each person who was split off since the night of the run, or else since the day before
        what the receipt tells.
        """
        recipients = {
            (row["destination"], row["recipient_key"]): row["one_id"]
            for row in self.tables["segments.recipients"]
        }
        purposes = {
            (row["destination"], row["run_id"]): row["purpose"] for row in self.tables["segments.deliveries"]
        }
        nights = {
            (row["destination"], row["run_id"]): row["as_of"] for row in self.tables["segments.deliveries"]
        }
        rows = []
        for row in self.rows("receipts"):
            one_id = recipients.get((row["destination"], row["recipient_key"]))
            if one_id is not None:
                purpose = purposes.get((row["destination"], row["run_id"])) or row["purpose"] or "marketing"
                night = nights.get((row["destination"], row["run_id"]), row["event_on"] - DAY)
                parts = [
                    share["one_id"]
                    for share in self.tables["identity.inheritances"]
                    if share["from_one_id"] == one_id
                    and share["parted_on"] <= self.day
                    and night < share["shared_until"]
                ]
                people = {self.redirects.get(number, number) for number in (one_id, *parts)}
                rows += [{**row, "one_id": person, "purpose": purpose} for person in people]
        return rows

    def _contacts(self) -> dict[int, list[Row]]:
        """Give contacts: messages of a run to a recipient in a channel, with the first day sent and the last day answered."""
        parts: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in self.receipts:
            parts[
                tuple(
                    row[name]
                    for name in ("one_id", "source", "run_id", "destination", "recipient_key", "channel")
                )
            ].append(row)
        untouched = ("CAPPED", "QUIET_DEFERRED", "QUIET_DROPPED", "EXPIRED", "ASSIGNED")
        answered = ("OPENED", "CLICKED", "REPLIED", "CONVERTED", "FOLLOW_UP", "WON")
        contacts = []
        for key, rows in parts.items():
            touched = [row["event_on"] for row in rows if row["status"] not in untouched]
            responses = [row["event_on"] for row in rows if row["status"] in answered]
            contacts.append((key[0], {
                "channel": key[-1], "is_marketing": any(row["purpose"] == "marketing" for row in rows),
                "touched_on": min(touched, default=None), "responded_on": max(responses, default=None),
            }))  # fmt: skip
        return group(contacts)

    def _controls(self) -> dict[int, list[Row]]:
        """Give the controls known until today or in the last 400 days, by everybody they are stated for."""
        holders: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in self.rows("relationships"):
            if row["relationship_type"] == "person_account" and row["role"] in ("owner", "co_holder"):
                one_id = self.persons.get((row["from_source"], row["from_key"]))
                if one_id is not None:
                    holders[row["to_source"], row["to_key"]].add(one_id)
        pairs: list[tuple[int | None, Row]] = []
        for row in self.tables["trusted.account_controls"]:
            if row["valid_from"] > self.day or row["started_on"] > self.day:
                continue
            if row["valid_to"] is not None and row["valid_to"] <= self.day - 400 * DAY:
                continue
            people = set(holders[row["source"], row["account_id"]]) if row["account_id"] else set()
            if (
                row["source_key"] is not None
                and (named := self.persons.get((row["source"], row["source_key"]))) is not None
            ):
                people.add(named)
            until = min(row["valid_to"] or ENDLESS, row["ended_on"] or ENDLESS)
            pairs += [(one_id, {**row, "until": until, "is_in_force": until > self.day}) for one_id in people]
        return group(pairs)

    def people(self) -> list[Person]:
        """Give everybody who is a customer or a prospect."""
        return [Person(one_id, self) for one_id in sorted(set(self.profiles.values()))]


def group(pairs: Iterable[tuple[int | None, Row]]) -> dict[int, list[Row]]:
    """Give rows by person; those of nobody are left out."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for one_id, row in pairs:
        if one_id is not None:
            rows[one_id].append(row)
    return rows


@dataclass
class Person:
    """One person on the day; ``person[tag]`` is the answer, None where it is null, and ``reason(tag)`` says why."""

    one_id: int
    world: World
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def day(self) -> dt.date:
        """The business date."""
        return self.world.day

    def rows(self, name: str) -> list[Row]:
        """Give the person's rows of a table."""
        return self.world.of_person[name].get(self.one_id, [])

    def within(self, name: str, days: int) -> list[Row]:
        """Give the person's rows of a table of facts of the last so many days, today the last of them."""
        event_day = {"lines": "ordered_on"}.get(name) or FACTS[name]
        return [row for row in self.rows(name) if row[event_day] > self.day - days * DAY]

    def answer(self, code: str) -> Any:
        """Give the answer of a tag: a value or ``Nothing``."""
        if code not in self.known:
            self.known[code] = ANSWERS[code](self)
        return self.known[code]

    def __getitem__(self, code: str) -> Any:
        value = self.answer(code)
        return None if isinstance(value, Nothing) else value

    def reason(self, code: str) -> str | None:
        """Give why a tag is null."""
        value = self.answer(code)
        return value.reason if isinstance(value, Nothing) else None
