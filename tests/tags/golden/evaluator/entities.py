"""Products and branches: what is counted for each of them over all people, accounts and movements."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.tags.golden.evaluator.world import ANSWERS, DAY, ENDLESS, Person, World, tag

TABLE_AND_KEY = {
    "product": ("products", "product_id"),
    "branch": ("branches", "branch_id"),
    "employee": ("employees", "employee_id"),
}
SIGNS = {"WEALTH_BUY": 1, "FUND_BUY": 1, "WEALTH_REDEEM": -1, "FUND_REDEEM": -1}


@dataclass
class Thing:
    """One product, branch or employee on the day, named by source and key; ``thing[tag]`` is the answer."""

    key: tuple[str, str]
    world: World
    people: list[Person] = field(repr=False)

    @property
    def day(self) -> dt.date:
        """The business date."""
        return self.world.day

    def __getitem__(self, code: str) -> Any:
        return ANSWERS[code](self)  # type: ignore[arg-type]

    def reason(self, code: str) -> str | None:
        """Give why a tag is null: none of these ever is."""
        return None


def things(world: World, entity: str) -> list[Thing]:
    """Give every product, branch or employee that its source knows on the day."""
    table, column = TABLE_AND_KEY[entity]
    people = world.people()
    keys = {(row["source"], row[column]) for row in world.rows(table)}
    return [Thing(key, world, people) for key in sorted(keys)]


@tag
def product_holder_count(product: Thing) -> Any:
    holders = 0
    for person in product.people:
        held = [row for row in person.rows("holdings") if row["status"] == "active"]
        opened = [row for row in person.rows("accounts") if row["status"] != "closed"]
        holders += any((row["source"], row["product_id"]) == product.key for row in [*held, *opened])
    return holders


@tag
def product_net_flow_30d(product: Thing) -> Any:
    total = Decimal(0)
    for row in product.world.rows("transactions"):
        if (row["source"], row["product_id"]) != product.key or row[
            "transacted_on"
        ] <= product.day - 30 * DAY:
            continue
        sign = SIGNS.get(row["transaction_type"], 0)
        total += -sign * row["amount_base"] if row["is_reversal"] else sign * row["amount_base"]
    return total


@tag
def branch_active_customer_count(branch: Thing) -> Any:
    return sum(bool(person["is_mau"]) and home(person) == branch.key for person in branch.people)


def home(person: Person) -> tuple[str, str] | None:
    """Give source and code of the branch of the profile that was registered first; the source is one that has such a branch, if one alone has."""
    stated = [row for row in person.rows("customers") if row["branch_id"] is not None]
    if not stated:
        return None
    first = min(stated, key=lambda row: (row["registered_on"] or ENDLESS, row["source"], row["source_key"]))
    code = first["branch_id"]
    sources = {row["source"] for row in person.world.rows("branches") if row["branch_id"] == code}
    return (*sources, code) if len(sources) == 1 else (first["source"], code)
