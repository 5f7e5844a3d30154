"""What a person brings: balances day by day, wages, scores, purchases."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.tags.golden.evaluator.world import (
    DAY,
    NOT_APPLICABLE,
    Person,
    Row,
    World,
    money,
    month_back,
    ratio,
    tag,
)

ASSETS = ("demand", "time", "wealth", "fund", "insurance", "bond", "metal", "trust")


def stated(person: Person) -> dict[tuple[str, str, str], tuple[list[dt.date], list[Decimal]]]:
    """Give by account and class the days on which a balance was stated and the balances; of one day the latest arrival."""
    if "stated balances" not in person.known:
        by_class: dict[tuple[str, str, str], dict[dt.date, Row]] = defaultdict(dict)
        for row in person.rows("balances"):
            days = by_class[row["source"], row["account_id"], row["product_class"]]
            other = days.get(row["balance_on"])
            if other is None or arrival(row) > arrival(other):
                days[row["balance_on"]] = row
        person.known["stated balances"] = {
            key: (sorted(days), [days[day]["balance_base"] for day in sorted(days)])
            for key, days in by_class.items()
        }
    return person.known["stated balances"]


def arrival(row: Row) -> tuple[dt.date, str, int]:
    """Give when a row arrived."""
    return row["_arrived_on"], row["_file"], row["_row"]


def held(person: Person, day: dt.date, classes: tuple[str, ...]) -> Decimal:
    """Give what a person holds at the end of a day: of each account and class the last balance stated until then."""
    total = Decimal(0)
    for (_, _, product_class), (days, balances) in stated(person).items():
        if product_class in classes and (at := bisect_right(days, day)):
            total += balances[at - 1]
    return total


def average(person: Person, first: dt.date, last: dt.date) -> Decimal:
    """Give the daily assets of a range of days over their number."""
    key = f"average {first} {last}"
    if key not in person.known:
        days = [first + at * DAY for at in range((last - first).days + 1)]
        person.known[key] = money(
            Fraction(sum((held(person, day, ASSETS) for day in days), Decimal(0))) / len(days)
        )
    return person.known[key]


def monthly(person: Person, months: int) -> Decimal:
    """Give the average of the month so many months before that of the day."""
    return average(person, month_back(person.day, months), month_back(person.day, months - 1) - DAY)


@tag
def aum_eod(person: Person) -> Any:
    return held(person, person.day, ASSETS)


@tag
def demand_balance(person: Person) -> Any:
    return held(person, person.day, ("demand",))


@tag
def time_deposit_balance(person: Person) -> Any:
    return held(person, person.day, ("time",))


@tag
def wealth_balance(person: Person) -> Any:
    return held(person, person.day, ("wealth",))


@tag
def fund_balance(person: Person) -> Any:
    products = {(row["source"], row["product_id"]): row for row in person.world.rows("products")}
    values: dict[tuple[str, str], Decimal] = {}
    for row in person.rows("holdings"):
        if row["product_class"] != "fund" or row["status"] != "active":
            continue
        product = products.get((row["source"], row["product_id"]))
        is_priced = (
            product
            and product["unit_value"] is not None
            and product["unit_value_on"]
            and product["unit_value_on"] <= person.day
        )
        if row["balance_base"] is not None:
            value = row["balance_base"]
        elif is_priced and row["quantity"] is not None:
            value = money(Fraction(row["quantity"]) * Fraction(product["unit_value"]))
        else:
            value = row["balance"]
        account = (row["source"], row["account_id"])
        values[account] = values.get(account, Decimal(0)) + value
    total = sum(values.values(), Decimal(0))
    for (source, account_id, product_class), (_, balances) in stated(person).items():
        if product_class == "fund" and (source, account_id) not in values:
            total += balances[-1]
    return total


@tag
def loan_balance(person: Person) -> Any:
    owed = [
        row["outstanding"] if row["outstanding_base"] is None else row["outstanding_base"]
        for row in running_loans(person)
    ]
    return sum((amount for amount in owed if amount is not None), Decimal(0))


def running_loans(person: Person) -> list[Row]:
    """Give the loans that are active or in default."""
    return [row for row in person.rows("loans") if row["status"] in ("active", "defaulted")]


@tag
def product_classes_held(person: Person) -> Any:
    return sorted({key[2] for key, (_, balances) in stated(person).items() if balances[-1] > 0})


@tag
def has_active_card(person: Person) -> Any:
    return any(row["status"] == "ACTIVE" for row in person.rows("cards"))


@tag
def product_class_count(person: Person) -> Any:
    classes = person["product_classes_held"]
    return sum((
        person["demand_balance"] >= 100, person["time_deposit_balance"] > 0, person["wealth_balance"] > 0, person["fund_balance"] > 0,
        "insurance" in classes, "metal" in classes, person["has_active_card"], person["loan_balance"] > 0,
    ))  # fmt: skip


@tag
def days_to_next_maturity(person: Person) -> Any:
    days = [
        (row["matures_on"] - person.day).days
        for row in person.rows("holdings")
        if row["product_class"] in ("wealth", "time") and row["status"] == "active" and row["matures_on"]
    ]
    return min((left for left in days if 0 <= left <= 3650), default=NOT_APPLICABLE)


@tag
def aum_avg_last_month(person: Person) -> Any:
    opened_after = person["tenure_days"] is not None and person.day - person[
        "tenure_days"
    ] * DAY >= month_back(person.day, 0)
    return NOT_APPLICABLE if opened_after else monthly(person, 1)


@tag
def aum_avg_month_to_date(person: Person) -> Any:
    return average(person, month_back(person.day, 0), person.day)


@tag
def aum_avg_lm_3(person: Person) -> Any:
    return monthly(person, 4)


@tag
def aum_max_monthly_avg_6m(person: Person) -> Any:
    return max(monthly(person, months) for months in range(1, 7))


def deciding_average(person: Person) -> Decimal:
    """Give the average of the last month, where it does not apply that of this one."""
    average_of_month = person["aum_avg_last_month"]
    return person["aum_avg_month_to_date"] if average_of_month is None else average_of_month


BOUNDS = (10_000, 50_000, 500_000, 6_000_000)


@tag
def aum_tier(person: Person) -> Any:
    if person["tenure_days"] is None:
        return NOT_APPLICABLE
    return f"T{sum(deciding_average(person) >= bound for bound in BOUNDS)}"


@tag
def aum_gap_to_next_tier(person: Person) -> Any:
    if person["aum_tier"] in (None, "T4"):
        return NOT_APPLICABLE
    return BOUNDS[int(person["aum_tier"][1])] - deciding_average(person)


@tag
def aum_change_3m_ratio(person: Person) -> Any:
    now, base = person["aum_avg_last_month"], person["aum_avg_lm_3"]
    if base < 1000 or now is None:
        return NOT_APPLICABLE
    return ratio(Fraction(now) / Fraction(base) - 1)


def wages(person: Person) -> list[Row]:
    """Give the wages of the last three complete months."""
    first, end = month_back(person.day, 3), month_back(person.day, 0)
    return [
        row for row in person.rows("transactions")
        if row["transaction_type"] == "PAYROLL" and row["direction"] == "credit" and not row["is_reversal"]
        and first <= row["transacted_on"] < end
    ]  # fmt: skip


@tag
def is_payroll(person: Person) -> Any:
    return len({row["transacted_on"].month for row in wages(person) if row["amount_base"] >= 500}) >= 2


@tag
def payroll_avg_amount(person: Person) -> Any:
    rows = wages(person)
    if not rows:
        return NOT_APPLICABLE
    return money(
        Fraction(sum(row["amount_base"] for row in rows)) / len({row["transacted_on"].month for row in rows})
    )


def fifths(person: Person, code: str, declared: tuple[int, ...], among: str | None = None) -> list[Any]:
    """Give the four values that cut the people of the last day published before the quarter began in five, else the declared ones."""
    world = person.world
    if code not in world.fifths:
        nights = sorted(night for night in {*world.published, world.day} if night <= world.day)
        # Of a quarter the first night counts that had somebody to measure; an older quarter only while no night of a newer one had.
        in_order = sorted(nights, key=lambda night: (_quarter(night), -night.toordinal()), reverse=True)
        measures = (values for night in in_order if (values := _measured(world, night, code, among)))
        values = next(measures, None)
        world.fifths[code] = (
            [values[-(-len(values) * fifth // 5) - 1] for fifth in (1, 2, 3, 4)] if values else list(declared)
        )
    return world.fifths[code]


def _measured(world: World, night: dt.date, code: str, among: str | None) -> list[Any]:
    newest = max((day for day in world.published if day < night), default=None)
    return sorted(
        row[code]
        for row in (world.published[newest] if newest else ())
        if row[code] is not None and (among is None or row[among] is not None)
    )


def _quarter(day: dt.date) -> tuple[int, int]:
    return day.year, (day.month - 1) // 3


@tag
def rfm_recency(person: Person) -> Any:
    days = person["days_since_active_txn"]
    if days is None:
        return NOT_APPLICABLE
    return 5 - sum(days > end for end in fifths(person, "days_since_active_txn", (7, 30, 90, 180)))


@tag
def rfm_frequency(person: Person) -> Any:
    if person["tenure_days"] is None:
        return NOT_APPLICABLE
    ends = fifths(person, "active_txn_days_180d", (2, 7, 17, 35), among="tenure_days")
    return 1 + sum(person["active_txn_days_180d"] > end for end in ends)


@tag
def rfm_monetary(person: Person) -> Any:
    amount = person["aum_avg_last_month"]
    if amount is None:
        return NOT_APPLICABLE
    ends = fifths(person, "aum_avg_last_month", (1000, 10_000, 50_000, 500_000))
    return 1 + sum(amount > end for end in ends)


def cell(is_rich: bool, is_recent: bool, is_frequent: bool) -> str:
    """Give the name of one of the eight groups."""
    kind = {(True, True): "VALUE", (True, False): "DEV", (False, True): "KEEP", (False, False): "WINBACK"}
    return ("IMPORTANT_" if is_rich else "GEN_") + kind[is_recent, is_frequent]


@tag
def rfm_group(person: Person) -> Any:
    scores = [person[f"rfm_{name}"] for name in ("monetary", "recency", "frequency")]
    return NOT_APPLICABLE if None in scores else cell(*(score >= 4 for score in scores))


@tag
def has_repeat_purchase_180d(person: Person) -> Any:
    bought = [
        row
        for row in person.within("transactions", 180)
        if row["transaction_type"] in ("WEALTH_BUY", "FUND_BUY")
    ]
    return len({row["transacted_on"] for row in bought if not row["is_reversal"]}) >= 2


@tag
def has_key_transaction_30d(person: Person) -> Any:
    return any(
        row["transaction_type"] in ("WEALTH_BUY", "FUND_BUY", "LOAN_DRAW", "HOUSEHOLD")
        or (
            row["direction"] == "credit" and row["amount_base"] >= 1000 and row["transaction_type"] != "SWEEP"
        )
        for row in person.within("transactions", 30)
        if not row["is_reversal"]
    )


@tag
def has_repayment_contract(person: Person) -> Any:
    world = person.world
    if "repaying people" not in world.__dict__:
        world.__dict__["repaying people"] = {
            world.owners.get((row["source"], row["repayment_account_id"]))
            for row in world.rows("loans")
            if row["status"] in ("active", "defaulted") and row["repayment_account_id"]
        }
    return person.one_id in world.__dict__["repaying people"]
