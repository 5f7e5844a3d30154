"""What a person does, and where they stand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.tags.golden.evaluator.world import NOT_APPLICABLE, Person, Row, month_back, tag


def logins(person: Person) -> list[Row]:
    """Give the logins that succeeded."""
    return [row for row in person.rows("events") if row["event_name"] == "login" and row["is_success"]]


def app_days(person: Person) -> list[Any]:
    """Give the days on which the person's app users were first observed."""
    rows = person.rows("identifier_observations")
    return [row["observed_on"] for row in rows if row["namespace"].partition("@")[0] == "app_user_id"]


@tag
def is_app_registered(person: Person) -> Any:
    return bool(app_days(person))


@tag
def app_registered_days(person: Person) -> Any:
    days = [day for day in app_days(person) if day is not None and day <= person.day]
    return (person.day - min(days)).days if days else NOT_APPLICABLE


@tag
def is_mau(person: Person) -> Any:
    if not person["is_app_registered"]:
        return NOT_APPLICABLE
    return any(row["occurred_on"] >= month_back(person.day, 0) for row in logins(person))


@tag
def is_dau(person: Person) -> Any:
    return (
        any(row["occurred_on"] == person.day for row in logins(person))
        if person["is_app_registered"]
        else NOT_APPLICABLE
    )


@tag
def login_days_30d(person: Person) -> Any:
    if not person["is_app_registered"]:
        return NOT_APPLICABLE
    return len({row["occurred_on"] for row in logins(person) if (person.day - row["occurred_on"]).days < 30})


@tag
def days_since_login(person: Person) -> Any:
    days = [(person.day - row["occurred_on"]).days for row in logins(person)]
    return min((number for number in days if number < 730), default=NOT_APPLICABLE)


def own_transactions(person: Person) -> list[Row]:
    """Give what the customer started: no interest, fee, sweep or reversal."""
    return [
        row for row in person.rows("transactions")
        if row["initiator"] == "C" and not row["is_reversal"]
        and row["transaction_type"] not in ("INTEREST", "PENALTY_INTEREST", "FEE", "SWEEP")
    ]  # fmt: skip


def own_within(person: Person, days: int) -> list[Row]:
    """Give what the customer started in the last so many days."""
    return [row for row in own_transactions(person) if (person.day - row["transacted_on"]).days < days]


@tag
def days_since_active_txn(person: Person) -> Any:
    return min(
        ((person.day - row["transacted_on"]).days for row in own_within(person, 1095)), default=NOT_APPLICABLE
    )


@tag
def active_txn_count_90d(person: Person) -> Any:
    return len(own_within(person, 90))


@tag
def active_txn_amount_90d(person: Person) -> Any:
    return sum(
        (row["amount_base"] for row in own_within(person, 90) if row["direction"] == "debit"), Decimal(0)
    )


@tag
def active_txn_days_180d(person: Person) -> Any:
    return len({row["transacted_on"] for row in own_within(person, 180)})


def events(person: Person, name: str, days: int) -> list[Row]:
    """Give the events of a name in the last so many days."""
    return [row for row in person.within("events", days) if row["event_name"] == name]


@tag
def wallet_bind_count_30d(person: Person) -> Any:
    return len(events(person, "wallet_bind", 30))


@tag
def wealth_view_count_7d(person: Person) -> Any:
    return len(events(person, "wealth_detail_view", 7))


STEPS = {
    "wealth_detail_view": "VIEW",
    "wealth_click_buy": "CLICK_BUY",
    "wealth_risk_assess": "ASSESS",
    "wealth_password": "PASSWORD",
}


@tag
def wealth_funnel_break_7d(person: Person) -> Any:
    purchases = [row["occurred_at"] for row in events(person, "wealth_purchase_ok", 7)]
    broken = [
        list(STEPS).index(row["event_name"])
        for row in person.within("events", 7)
        if row["event_name"] in STEPS and not any(bought >= row["occurred_at"] for bought in purchases)
    ]
    return list(STEPS.values())[max(broken)] if broken else "NONE"


def wallets(person: Person) -> list[Row]:
    """Give the bindings of the person's cards to wallets, ended ones too."""
    world = person.world
    if "wallets" not in world.__dict__:
        by_card: dict[tuple[str, str], list[Row]] = {}
        for row in world.rows("relationships"):
            if row["relationship_type"] == "card_wallet":
                by_card.setdefault((row["from_source"], row["from_key"]), []).append(row)
        world.__dict__["wallets"] = by_card
    return [
        row
        for card in person.rows("cards")
        for row in world.__dict__["wallets"].get((card["source"], card["card_id"]), [])
    ]


@tag
def has_wallet_bound(person: Person) -> Any:
    return any(person.world.holds(row) for row in wallets(person))


@tag
def days_since_wallet_bound(person: Person) -> Any:
    days = [(person.day - row["started_on"]).days for row in wallets(person) if row["started_on"] is not None]
    return min((number for number in days if number >= 0), default=NOT_APPLICABLE)


@tag
def has_key_action_30d(person: Person) -> Any:
    days = person["days_since_wallet_bound"]
    return (
        person["has_key_transaction_30d"]
        or (days is not None and days < 30)
        or person["wallet_bind_count_30d"] > 0
    )


def is_large(person: Person, direction: str) -> bool:
    """Tell whether a single movement of 50,000 or more went in a direction in the last seven days."""
    return any(
        row["direction"] == direction
        and row["amount_base"] >= 50_000
        and not row["is_reversal"]
        and row["transaction_type"] != "SWEEP"
        for row in person.within("transactions", 7)
    )


@tag
def large_inflow_7d(person: Person) -> Any:
    return is_large(person, "credit")


@tag
def large_outflow_7d(person: Person) -> Any:
    return is_large(person, "debit")


@tag
def card_lifecycle(person: Person) -> Any:
    statuses = {row["status"] for row in person.rows("cards") if row["card_type"] == "credit"}
    order = ("ACTIVE", "BOUND", "ACTIVATED", "SLEEPING", "APPROVED", "APPLIED", "CANCELLED")
    return next((status for status in order if status in statuses), NOT_APPLICABLE)


@tag
def lifecycle_mau(person: Person) -> Any:
    registered, login = person["app_registered_days"], person["days_since_login"]
    if not person["is_app_registered"]:
        return "POTENTIAL"
    if registered is not None and registered <= 30:
        return "NEW"
    if login is None or login > 180:
        return "DORMANT"
    if login > 60:
        return "LOST"
    if login > 30:
        return "SILENT"
    return "MATURE" if person["has_key_action_30d"] else "GROW"


@tag
def lifecycle_aum(person: Person) -> Any:
    tenure, change, best = (
        person["tenure_days"],
        person["aum_change_3m_ratio"],
        person["aum_max_monthly_avg_6m"],
    )
    if tenure is None:
        return person.answer("tenure_days")
    if tenure <= 100:
        return "NEW"
    if best < 100:
        return "ZERO"
    if change is None:
        return "STABLE"
    if change <= Decimal("-0.5") and best >= 10_000:
        return "LOST"
    return "DOWN" if change <= Decimal("-0.2") else "UP" if change >= Decimal("0.2") else "STABLE"


@tag
def new_customer_day(person: Person) -> Any:
    tenure = person["tenure_days"]
    if tenure is None:
        return person.answer("tenure_days")
    return tenure if tenure <= 100 else NOT_APPLICABLE


@tag
def is_dormant(person: Person) -> Any:
    active = person["days_since_active_txn"]
    return (
        person["tenure_days"] is not None
        and (active is None or active >= 365)
        and person["aum_eod"] <= 10
        and person["loan_balance"] == person["wealth_balance"] == person["fund_balance"] == 0
        and "custody" not in person["product_classes_held"]
        and not person["has_repayment_contract"]
        and bool(set(person["account_types_held"]) - {"social_security", "housing_fund"})
    )


@tag
def is_downgrade_risk(person: Person) -> Any:
    bounds = {"T2": 50_000, "T3": 500_000, "T4": 6_000_000}
    return person["aum_avg_month_to_date"] < bounds.get(person["aum_tier"], Decimal("-Infinity"))
