"""Shops."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.tags.golden.evaluator.value import cell
from tests.tags.golden.evaluator.world import NOT_APPLICABLE, Person, Row, money, ratio, tag


def sales(person: Person, days: int | None = 2555) -> list[Row]:
    """Give the orders of so many days that sell something: no returns, none cancelled; what was sent back later was sold."""
    rows = person.rows("orders") if days is None else person.within("orders", days)
    return [row for row in rows if not row["is_return"] and row["status"] != "cancelled"]


def bought(person: Person) -> list[Row]:
    """Give the lines of the last 365 days that take nothing back."""
    return [row for row in person.within("lines", 365) if not row["takes_back"]]


@tag
def order_count_365d(person: Person) -> Any:
    return sum((person.day - row["ordered_on"]).days < 365 for row in sales(person))


@tag
def net_spend_365d(person: Person) -> Any:
    return sum((row["value"] for row in person.within("lines", 365)), Decimal(0))


@tag
def average_order_value(person: Person) -> Any:
    lines = bought(person)
    orders = {(row["source"], row["order_id"]) for row in lines}
    return money(Fraction(sum(row["value"] for row in lines)) / len(orders)) if orders else NOT_APPLICABLE


@tag
def return_ratio_365d(person: Person) -> Any:
    back = sum(abs(row["value"]) for row in person.within("lines", 365) if row["takes_back"])
    amount = sum(row["value"] for row in bought(person))
    return ratio(Fraction(back) / Fraction(amount)) if amount else NOT_APPLICABLE


@tag
def days_since_last_order(person: Person) -> Any:
    return min(((person.day - row["ordered_on"]).days for row in sales(person)), default=NOT_APPLICABLE)


@tag
def first_order_on(person: Person) -> Any:
    return min((row["ordered_on"] for row in sales(person)), default=NOT_APPLICABLE)


@tag
def distinct_product_count_365d(person: Person) -> Any:
    return len({row["product_id"] for row in bought(person) if row["product_id"] is not None})


@tag
def large_line_ratio_365d(person: Person) -> Any:
    lines = bought(person)
    return (
        ratio(Fraction(sum(row["quantity"] >= 48 for row in lines), len(lines))) if lines else NOT_APPLICABLE
    )


@tag
def is_wholesale(person: Person) -> Any:
    share = person["large_line_ratio_365d"]
    return share is not None and share >= Decimal("0.5") and person["order_count_365d"] >= 3


@tag
def shop_rfm_group(person: Person) -> Any:
    days = person["days_since_last_order"]
    if days is None:
        return NOT_APPLICABLE
    return cell(person["net_spend_365d"] >= 1000, days <= 90, person["order_count_365d"] >= 4)


@tag
def lifecycle_shop(person: Person) -> Any:
    first, days = person["first_order_on"], person["days_since_last_order"]
    if first is None:
        return NOT_APPLICABLE
    if (person.day - first).days <= 30:
        return "NEW"
    return "ACTIVE" if days <= 90 else "LAPSING" if days <= 180 else "LOST"
