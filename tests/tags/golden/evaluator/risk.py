"""What must be respected."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.tags.golden.evaluator.value import running_loans
from tests.tags.golden.evaluator.world import DAY, EXPIRED, NOT_APPLICABLE, UNKNOWN, Person, Row, ratio, tag

LIVE = ("ACTIVATED", "BOUND", "ACTIVE", "SLEEPING")


def assessment(person: Person) -> Row | None:
    """Give the latest assessment, of several on one day the one with the lower grade."""
    order = lambda row: (row["assessed_on"], -int(row["grade"][1:]), row["source"], row["assessment_id"])  # noqa: E731
    return max(person.rows("assessments"), key=order, default=None)


@tag
def risk_capacity(person: Person) -> Any:
    row = assessment(person)
    return row["grade"] if row else UNKNOWN


@tag
def risk_assessed_until(person: Person) -> Any:
    row = assessment(person)
    if row is None:
        return NOT_APPLICABLE
    if row["valid_until"] is not None:
        return row["valid_until"]
    day = row["assessed_on"]
    is_leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year + 1, day=28) if is_leap_day else day.replace(year=day.year + 1)


@tag
def risk_assessment_state(person: Person) -> Any:
    until = person["risk_assessed_until"]
    if until is None:
        return "NONE"
    left = (until - person.day).days
    return "EXPIRED" if left < 0 else "EXP30" if left <= 30 else "VALID"


@tag
def max_sellable_risk(person: Person) -> Any:
    return (
        f"R{person['risk_capacity'][1:]}"
        if person["risk_assessment_state"] in ("VALID", "EXP30")
        else NOT_APPLICABLE
    )


@tag
def max_held_risk(person: Person) -> Any:
    rows = [
        row
        for row in person.rows("holdings")
        if row["status"] == "active" and row["balance"] > 0 and row["risk_level"]
    ]
    return max((row["risk_level"] for row in rows), default=NOT_APPLICABLE)


@tag
def has_suitability_mismatch(person: Person) -> Any:
    if person["max_sellable_risk"] is None:
        return NOT_APPLICABLE
    return person["max_held_risk"] is not None and person["max_held_risk"] > person["max_sellable_risk"]


def credit_cards(person: Person) -> list[Row]:
    """Give the credit cards that are in use."""
    return [row for row in person.rows("cards") if row["card_type"] == "credit" and row["status"] in LIVE]


@tag
def card_utilisation_ratio(person: Person) -> Any:
    cards = [row for row in credit_cards(person) if row["credit_limit"] is not None]
    limit = sum(row["credit_limit"] for row in cards)
    return (
        ratio(Fraction(sum(row["used_amount"] or 0 for row in cards)) / Fraction(limit))
        if limit
        else NOT_APPLICABLE
    )


@tag
def days_past_due(person: Person) -> Any:
    days = [row["days_past_due"] for row in (*running_loans(person), *credit_cards(person))]
    nothing = UNKNOWN if days else NOT_APPLICABLE
    return max((number for number in days if number is not None), default=nothing)


@tag
def is_credit_delay_known(person: Person) -> Any:
    days = [row["days_past_due"] for row in (*running_loans(person), *credit_cards(person))]
    return any(number is not None for number in days) if days else NOT_APPLICABLE


@tag
def overdue_bucket(person: Person) -> Any:
    days = person["days_past_due"]
    if days is None:
        return person.answer("days_past_due")
    return ("M0", "M1", "M2", "M3", "M4P")[sum(days > end for end in (0, 30, 60, 90))]


@tag
def loan_class_worst(person: Person) -> Any:
    grades = [
        *(row["loan_class"] for row in running_loans(person)),
        *(row["card_class"] for row in credit_cards(person)),
    ]
    return max(
        (grade for grade in grades if grade), key=("N", "S", "SS", "D", "L").index, default=NOT_APPLICABLE
    )


@tag
def aml_grade(person: Person) -> Any:
    if grade := _held_grade(person):
        return grade
    was_known = any(_held_grade(Person(person.one_id, world)) for world in person.world.earlier)
    return EXPIRED if was_known else UNKNOWN


def _held_grade(person: Person) -> str | None:
    """Give the grade that is stated, or was within 180 days."""
    rows = [
        row for row in person.rows("controls")
        if row["control_type"] == "AML_GRADE" and row["grade"] and (person.day - row["until"]).days < 180
    ]  # fmt: skip
    grades = ("L", "ML", "M", "MH", "H")
    order = lambda row: (  # noqa: E731
        min(row["until"], person.day + DAY), grades.index(row["grade"]), row["started_on"], row["source"], row["control_id"],
    )  # fmt: skip
    return max(rows, key=order)["grade"] if rows else None


@tag
def is_account_controlled(person: Person) -> Any:
    kinds = ("FRAUD", "STOP_PAYMENT", "JUDICIAL")
    return any(row["is_in_force"] and row["control_type"] in kinds for row in person.rows("controls"))
