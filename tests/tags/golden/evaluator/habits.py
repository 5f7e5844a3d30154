"""Habits, groups and counts of which the registry states the meaning; of drafts the answers wait until they go online."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from tests.tags.golden.evaluator.basic import parents, says
from tests.tags.golden.evaluator.behaviour import own_within
from tests.tags.golden.evaluator.marketing import receipts_of
from tests.tags.golden.evaluator.retail import sales
from tests.tags.golden.evaluator.risk import credit_cards
from tests.tags.golden.evaluator.value import ASSETS, held, running_loans
from tests.tags.golden.evaluator.world import (
    DAY,
    ENDLESS,
    NOT_APPLICABLE,
    UNKNOWN,
    Person,
    Row,
    World,
    group,
    money,
    month_back,
    ratio,
    tag,
)


def most(values: Iterable[tuple[Any, Any]]) -> tuple[Any, int]:
    """Give the value that occurs most and how many values there are; of a tie that seen last, then the smaller."""
    counts: dict[Any, list[Any]] = defaultdict(list)
    for value, seen in values:
        if value is not None:
            counts[value].append(seen)
    number = sum(map(len, counts.values()))
    if not counts:
        return None, 0
    best = max((len(seen), max(seen)) for seen in counts.values())
    return min(value for value, seen in counts.items() if (len(seen), max(seen)) == best), number


def usual(rows: list[Row], value: Callable[[Row], Any]) -> Any:
    """Give the value that most events have, where three or more have any."""
    winner, number = most((value(row), row["occurred_at"]) for row in rows)
    return winner if number >= 3 else NOT_APPLICABLE


@tag
def top_interest_30d(person: Person) -> Any:
    rows = [row for row in person.within("events", 30) if row["event_name"].endswith("_view")]
    return usual(rows, lambda row: row["topic"] or row["item_class"])


@tag
def content_view_count_30d(person: Person) -> Any:
    return sum(row["event_name"] == "content_view" for row in person.within("events", 30))


@tag
def preferred_hour_band(person: Person) -> Any:
    bands = (
        (6, "00-06"),
        (9, "06-09"),
        (12, "09-12"),
        (14, "12-14"),
        (18, "14-18"),
        (21, "18-21"),
        (24, "21-24"),
    )
    zone = ZoneInfo(person.world.zone)
    return usual(
        person.within("events", 90),
        lambda row: next(band for end, band in bands if row["occurred_at"].astimezone(zone).hour < end),
    )


@tag
def preferred_device(person: Person) -> Any:
    return usual(person.within("events", 90), lambda row: row["device_type"])


@tag
def search_topics_30d(person: Person) -> Any:
    rows = [row for row in person.within("events", 30) if row["event_name"].endswith("_search")]
    return sorted({row["topic"] for row in rows if row["topic"] is not None})


@tag
def has_dropped_out_of_activity_7d(person: Person) -> Any:
    steps: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in person.rows("events"):
        if row["event_name"] in ("activity_view", "activity_join", "activity_done"):
            steps[row["source"], row["item_id"] or ""].append(row)
    for rows in steps.values():
        seen = [row for row in rows if row["event_name"] != "activity_done"]
        recent = [row for row in seen if (person.day - row["occurred_on"]).days < 7]
        if recent and not any(
            row["occurred_at"] >= max(s["occurred_at"] for s in seen) for row in rows if row not in seen
        ):
            return True
    return False


@tag
def has_activity_180d(person: Person) -> Any:
    names = ("activity_view", "activity_join", "activity_done")
    return any(row["event_name"] in names for row in person.within("events", 180))


@tag
def is_parent(person: Person) -> Any:
    world = person.world
    if "parents" not in world.__dict__:
        world.__dict__["parents"] = {
            world.profiles.get(
                (row["to_source"], row["to_key"])
                if row["role"] == "child"
                else (row["from_source"], row["from_key"])
            )
            for row in world.rows("relationships")
            if row["role"] in ("child", "parent") and world.holds(row)
        }
    return person.one_id in world.__dict__["parents"]


def spending(person: Person, days: int) -> list[tuple[str | None, Row]]:
    """Give what was paid in the last so many days, reversals left out, each with the group of its merchant category."""
    groups = parents(person.world, "mcc")
    rows = [
        row
        for row in person.within("transactions", days)
        if row["direction"] == "debit" and not row["is_reversal"]
    ]
    return [(groups.get(row["merchant_category"]), row) for row in rows]


@tag
def has_school_fee_365d(person: Person) -> Any:
    return any(name == "EDUCATION" for name, _ in spending(person, 365))


@tag
def is_merchant(person: Person) -> Any:
    return says(person, "is_merchant")


@tag
def is_new_in_city(person: Person) -> Any:
    first = month_back(person.day, 36)
    last_of_month = (month_back(first, -1) - DAY).day
    start = first.replace(day=min(person.day.day, last_of_month))
    return any(
        row["residence_city"] and row["registered_city"] and row["residence_city"] != row["registered_city"]
        and row["residence_since"] is not None and start < row["residence_since"] <= person.day
        for row in person.rows("customers")
    )  # fmt: skip


@tag
def special_groups(person: Person) -> Any:
    groups = {
        "SILVER": person["age"] is not None and person["age"] >= 60, "PAYROLL": person["is_payroll"],
        "PARENT": person["is_parent"] or person["has_school_fee_365d"], "SHOP": person["is_merchant"], "NEWCITY": person["is_new_in_city"],
    }  # fmt: skip
    return sorted(name for name, applies in groups.items() if applies)


@tag
def top_spend_category_90d(person: Person) -> Any:
    rows = [
        (name, row) for name, row in spending(person, 90)
        if name is not None and row["transaction_type"] == "PURCHASE" and row["card_id"] is not None
    ]  # fmt: skip
    if len(rows) < 3:
        return NOT_APPLICABLE
    return heaviest((name, row["amount_base"]) for name, row in rows)


def heaviest(weights: Iterable[tuple[str, Decimal]]) -> str:
    """Give the name with the greatest sum, of a tie that with more rows, then the smaller."""
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for name, weight in weights:
        sums[name].append(weight)
    best = max((sum(amounts), len(amounts)) for amounts in sums.values())
    return min(name for name, amounts in sums.items() if (sum(amounts), len(amounts)) == best)


@tag
def top_category_365d(person: Person) -> Any:
    rows = [
        (row["category"], row["value"]) for row in person.within("lines", 365) if row["category"] is not None
    ]
    return heaviest(rows) if rows else NOT_APPLICABLE


@tag
def purchase_interval_days(person: Person) -> Any:
    days = sorted({row["ordered_on"] for row in sales(person, None)})
    gaps = sorted((later - day).days for day, later in pairwise(days) if later > person.day - 2555 * DAY)
    if not gaps:
        return NOT_APPLICABLE
    middle = len(gaps) // 2
    return money(Fraction(gaps[middle]) if len(gaps) % 2 else Fraction(gaps[middle - 1] + gaps[middle], 2))


def payrolls(person: Person) -> dict[dt.date, Decimal]:
    """Give the wages by day; those of one day are one payroll."""
    days: dict[dt.date, Decimal] = defaultdict(Decimal)
    for row in person.rows("transactions"):
        if row["transaction_type"] == "PAYROLL" and row["direction"] == "credit" and not row["is_reversal"]:
            days[row["transacted_on"]] += row["amount_base"]
    return days


@tag
def payday(person: Person) -> Any:
    last = [day for day in sorted(payrolls(person))[-6:] if day > person.day - 2555 * DAY]
    winner, number = most((day.day, day) for day in last)
    return winner if number else NOT_APPLICABLE


@tag
def payroll_retention_ratio_7d(person: Person) -> Any:
    days = {day: amount for day, amount in payrolls(person).items() if day <= person.day - 7 * DAY}
    if not days or not days[max(days)]:
        return NOT_APPLICABLE
    day = max(days)
    kept = held(person, day + 7 * DAY, ASSETS) - held(person, day - DAY, ASSETS)
    return ratio(max(Fraction(0), min(Fraction(1), Fraction(kept) / Fraction(days[day]))))


@tag
def contribution_12m(person: Person) -> Any:
    world = person.world
    first, end = month_back(person.day, 12), month_back(person.day, 0)
    months = {
        month_back(row["booked_on"], 0) for row in world.rows("ledger") if first <= row["booked_on"] < end
    }
    rows = [row for row in person.rows("ledger") if first <= row["booked_on"] < end]
    if len(months) < 12 or not rows:
        return UNKNOWN
    amounts = [
        (row["amount"] if row["amount_base"] is None else row["amount_base"], row["entry_type"])
        for row in rows
    ]
    return sum((-amount if kind == "COST" else amount for amount, kind in amounts), Decimal(0))


def points_left(person: Person) -> tuple[list[tuple[dt.date, int]], int]:
    """Give what is left of given points with the first day they no longer count, and what was taken beyond; by points system."""
    left: list[tuple[dt.date, int]] = []
    debt = 0
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in person.rows("points"):
        by_source[row["source"]].append(row)
    for rows in by_source.values():
        taken = -sum(row["points"] for row in rows if row["points"] < 0)
        order = lambda row: (row["expires_on"] or ENDLESS, row["booked_on"], row["entry_id"])  # noqa: E731
        for row in sorted((row for row in rows if row["points"] > 0), key=order):
            used = min(taken, row["points"])
            taken -= used
            left.append((row["expires_on"] or ENDLESS, row["points"] - used))
        debt += taken
    return left, debt


@tag
def points_balance(person: Person) -> Any:
    left, debt = points_left(person)
    return sum(points for until, points in left if until > person.day) - debt


@tag
def points_expiring_30d(person: Person) -> Any:
    return sum(
        points for until, points in points_left(person)[0] if person.day < until <= person.day + 30 * DAY
    )


@tag
def referral_count_365d(person: Person) -> Any:
    world = person.world
    if "referrals" not in world.__dict__:
        pairs = []
        for row in world.rows("customers"):
            referred = world.profiles.get((row["source"], row["source_key"]))
            referrer = world.profiles.get((row["source"], row["referrer_key"]))
            if (
                referred is not None
                and referrer != referred
                and row["registered_on"]
                and row["registered_on"] <= world.day
            ):
                pairs.append((referrer, {"one_id": referred, "on": row["registered_on"]}))
        world.__dict__["referrals"] = group(pairs)
    rows = world.__dict__["referrals"].get(person.one_id, [])
    return len({row["one_id"] for row in rows if (person.day - row["on"]).days < 365})


@tag
def has_running_loan(person: Person) -> Any:
    return bool(running_loans(person))


@tag
def has_loan_paid_early_90d(person: Person) -> Any:
    return any(
        row["paid_off_on"]
        and row["matures_on"]
        and row["paid_off_on"] < row["matures_on"]
        and 0 <= (person.day - row["paid_off_on"]).days < 90
        for row in person.rows("loans")
    )


@tag
def has_loan_prepaid_90d(person: Person) -> Any:
    rows = person.within("transactions", 90)
    return any(row["transaction_type"] == "LOAN_PREPAY" and not row["is_reversal"] for row in rows)


@tag
def has_early_repayment_90d(person: Person) -> Any:
    return person["has_loan_paid_early_90d"] or person["has_loan_prepaid_90d"]


@tag
def is_open_to_first_loan(person: Person) -> Any:
    world = person.world
    if "borrowers" not in world.__dict__:
        world.__dict__["borrowers"] = {
            world.owners.get((row["source"], row["account_id"]))
            for row in world.tables["trusted.loans"]
            if row["valid_from"] <= world.day and row["status"] in ("active", "paid_off", "defaulted")
        }
    restricted = any(
        row["is_in_force"]
        and (
            row["control_type"] in ("FRAUD", "STOP_PAYMENT", "JUDICIAL")
            or (row["control_type"] == "AML_GRADE" and row["grade"] == "H")
        )
        for row in person.rows("controls")
    )
    return person.one_id not in world.__dict__["borrowers"] and not restricted


@tag
def is_first_loan_eligible(person: Person) -> Any:
    return person["is_open_to_first_loan"] and (person["income_band"] is not None or person["is_payroll"])


@tag
def has_financial_product(person: Person) -> Any:
    kinds = ("wealth", "fund", "insurance")
    return any(row["status"] == "active" and row["product_class"] in kinds for row in person.rows("holdings"))


@tag
def has_bill_paid_180d(person: Person) -> Any:
    rows = person.within("transactions", 180)
    return any(row["transaction_type"] in ("HOUSEHOLD", "TAX") and not row["is_reversal"] for row in rows)


@tag
def has_scene_lead_180d(person: Person) -> Any:
    return any(row["scene"] is not None for row in person.within("leads", 180))


@tag
def scenario_ladder(person: Person) -> Any:
    bound = person["days_since_wallet_bound"]
    if person["has_financial_product"] or person["has_running_loan"]:
        return "FINANCIAL"
    if person["has_bill_paid_180d"] or (bound is not None and bound < 180):
        return "QUASI_FINANCIAL"
    if person["has_scene_lead_180d"] or person["has_activity_180d"]:
        return "NON_FINANCIAL"
    return "CASH_FLOW" if own_within(person, 180) else NOT_APPLICABLE


def active_credit_cards(person: Person) -> list[Row]:
    """Give the credit cards that are ACTIVE."""
    return [row for row in person.rows("cards") if row["card_type"] == "credit" and row["status"] == "ACTIVE"]


@tag
def active_credit_card_count(person: Person) -> Any:
    return len(active_credit_cards(person))


@tag
def active_credit_card_days(person: Person) -> Any:
    days = [
        row["issued_on"]
        for row in active_credit_cards(person)
        if row["issued_on"] and row["issued_on"] <= person.day
    ]
    return (person.day - max(days)).days if days else NOT_APPLICABLE


@tag
def is_second_card_candidate(person: Person) -> Any:
    days, used = person["active_credit_card_days"], person["card_utilisation_ratio"]
    return (
        person["active_credit_card_count"] == 1 and days is not None and days >= 180
        and used is not None and used < Decimal("0.8") and person["days_past_due"] == 0
    )  # fmt: skip


@tag
def overdue_count_12m(person: Person) -> Any:
    credits = [("loans", "loan_id", "last_due_on", row) for row in running_loans(person)]
    credits += [("cards", "card_id", "statement_on", row) for row in credit_cards(person)]
    return sum(_late_days(person.world, *credit) for credit in credits) if credits else NOT_APPLICABLE


def _year_before(world: World) -> dt.date:
    leap_day = (world.day.month, world.day.day) == (2, 29)
    return world.day.replace(year=world.day.year - 1, day=28 if leap_day else world.day.day)


def _late_days(world: World, table: str, key: str, due: str, credit: Row) -> int:
    """Give how often one credit was late in twelve months: as its source counts, else by due days, else by days of penalty interest."""
    if credit["past_due_count_12m"] is not None:
        return credit["past_due_count_12m"]
    since = _year_before(world)
    versions = [
        row for row in world.tables[f"trusted.{table}"]
        if row["source"] == credit["source"] and row[key] == credit[key] and row["valid_from"] <= world.day
    ]  # fmt: skip
    if any(row[due] is not None for row in versions):
        return len(
            {
                row[due]
                for row in versions
                if row[due] and since < row[due] <= world.day and (row["days_past_due"] or 0) >= 1
            }
        )
    return len({
        row["transacted_on"] for row in world.rows("transactions")
        if (row["source"], row["account_id"]) == (credit["source"], credit["account_id"])
        and row["transaction_type"] == "PENALTY_INTEREST" and not row["is_reversal"] and row["transacted_on"] > since
    })  # fmt: skip


@tag
def channel_habit(person: Person) -> Any:
    contacts: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in receipts_of(person.world).get(person.one_id, []):
        if (person.day - row["event_on"]).days < 180 and row["channel"] != "WORKLIST":
            contacts[
                tuple(row[name] for name in ("channel", "source", "run_id", "destination", "recipient_key"))
            ].append(row)
    answers: dict[str, list[dt.datetime]] = defaultdict(list)
    deliveries: dict[str, int] = defaultdict(int)
    responses: dict[str, int] = defaultdict(int)
    unopened: list[dt.datetime] = []
    for (channel, *_), rows in contacts.items():
        statuses = {row["status"] for row in rows}
        is_delivered = bool(statuses & {"DELIVERED", "OPENED", "CLICKED", "REPLIED", "CONVERTED"})
        deliveries[channel] += is_delivered
        responses[channel] += len(statuses & {"OPENED", "CLICKED"})
        answers[channel] += [row["event_at"] for row in rows if row["status"] in ("OPENED", "CLICKED")]
        if is_delivered and channel != "WECHAT" and not statuses & {"OPENED", "CLICKED"}:
            unopened.append(min(row["event_at"] for row in rows))
    if answers["WECHAT"] and sum(began < max(answers["WECHAT"]) for began in unopened) >= 2:
        return "WECHAT"
    alive = [channel for channel, days in answers.items() if days]
    if not alive:
        return "NONE"
    best = max((Fraction(responses[c] + 1, deliveries[c] + 20), max(answers[c])) for c in alive)
    return min(c for c in alive if (Fraction(responses[c] + 1, deliveries[c] + 20), max(answers[c])) == best)
