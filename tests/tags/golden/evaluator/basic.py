"""Who a person is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.tags.golden.evaluator.world import ENDLESS, NEVER, NOT_APPLICABLE, UNKNOWN, Person, Row, World, tag


def latest(person: Person, column: str) -> Any:
    """Give what the most recently registered profile with a value says; of one day the greatest (source, source_key)."""
    rows = [row for row in person.rows("customers") if row[column] is not None]
    return max(rows, key=registered)[column] if rows else UNKNOWN


def first(person: Person, column: str) -> Any:
    """Give what the profile with a value that was registered first says; one without that day comes last."""
    rows = [row for row in person.rows("customers") if row[column] is not None]
    order = lambda row: (row["registered_on"] or ENDLESS, row["source"], row["source_key"])  # noqa: E731
    return min(rows, key=order)[column] if rows else UNKNOWN


def registered(row: Row) -> tuple[dt.date, str, str]:
    """Give the place of a profile among those of a person; one without a day is the earliest."""
    return row["registered_on"] or NEVER, row["source"], row["source_key"]


def says(person: Person, column: str) -> bool:
    """Tell whether any profile says yes."""
    return any(row[column] for row in person.rows("customers"))


@tag
def gender(person: Person) -> Any:
    world = person.world
    for row in world.tables["identity.golden_records"]:
        if row["one_id"] == person.one_id and world.is_valid(row) and row["gender"]:
            return row["gender"]
    digits: dict[tuple[str, str], str] = {}
    for row in person.rows("identifier_observations"):
        number = "".join(letter for letter in row["value"] if letter in "0123456789Xx")
        if row["namespace"] == "national_id" and len(number) == 18:
            profile = (row["source"], row["source_key"])
            digits[profile] = max(digits.get(profile, ""), number[16])
    rows = [
        row
        for row in person.rows("customers")
        if digits.get((row["source"], row["source_key"]), "X").isdigit()
    ]
    if not rows:
        return UNKNOWN
    winner = max(rows, key=registered)
    return "M" if int(digits[winner["source"], winner["source_key"]]) % 2 else "F"


def years(born: dt.date, day: dt.date) -> int:
    """Give completed years; a birthday of 29 February is 28 February in other years."""
    is_leap = day.year % 4 == 0 and (day.year % 100 != 0 or day.year % 400 == 0)
    birthday = (2, 28) if (born.month, born.day) == (2, 29) and not is_leap else (born.month, born.day)
    return day.year - born.year - ((day.month, day.day) < birthday)


@tag
def age(person: Person) -> Any:
    rows = [
        row
        for row in person.rows("customers")
        if row["birth_date"] and 0 <= years(row["birth_date"], person.day) <= 120
    ]
    return years(max(rows, key=registered)["birth_date"], person.day) if rows else UNKNOWN


@tag
def age_band(person: Person) -> Any:
    if person["age"] is None:
        return UNKNOWN
    bands = ((18, "U18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (60, "45-59"))
    return next((band for end, band in bands if person["age"] < end), "60P")


def parents(world: World, code_set: str) -> dict[str, str | None]:
    """Give the parent of every code of a list, the smallest where sources differ."""
    key = f"parents of {code_set}"
    if key not in world.__dict__:
        found: dict[str, str | None] = {}
        for row in world.rows("reference_values"):
            if row["code_set"] == code_set:
                both = [
                    parent for parent in (found.get(row["code"]), row["parent_code"]) if parent is not None
                ]
                found[row["code"]] = min(both, default=None)
        world.__dict__[key] = found
    return world.__dict__[key]


@tag
def city_tier(person: Person) -> Any:
    tiers = parents(person.world, "city")
    rows = [row for row in person.rows("customers") if tiers.get(row["residence_city"])]
    return tiers[max(rows, key=registered)["residence_city"]] if rows else UNKNOWN


@tag
def occupation_class(person: Person) -> Any:
    classes = {code: parent or code for code, parent in parents(person.world, "occupation").items()}
    rows = [row for row in person.rows("customers") if row["occupation"] in classes]
    return classes[max(rows, key=registered)["occupation"]] if rows else UNKNOWN


@tag
def home_branch(person: Person) -> Any:
    return first(person, "branch_id")


@tag
def acquisition_channel(person: Person) -> Any:
    return first(person, "acquisition_channel")


@tag
def acquisition_campaign(person: Person) -> Any:
    return first(person, "acquisition_campaign_id")


@tag
def education(person: Person) -> Any:
    return latest(person, "education")


@tag
def income_band(person: Person) -> Any:
    return latest(person, "income_band")


@tag
def marital_state(person: Person) -> Any:
    return latest(person, "marital_state")


@tag
def family_role(person: Person) -> Any:
    return latest(person, "family_role")


@tag
def is_staff(person: Person) -> Any:
    return says(person, "is_staff")


@tag
def has_medical_insurance(person: Person) -> Any:
    return says(person, "has_medical_insurance")


@tag
def has_transaction_alerts(person: Person) -> Any:
    return says(person, "has_transaction_alerts")


@tag
def is_deceased(person: Person) -> Any:
    return any(row["deceased_on"] and row["deceased_on"] <= person.day for row in person.rows("customers"))


@tag
def id_document_valid_until(person: Person) -> Any:
    days = [row["document_expires_on"] for row in person.rows("customers") if row["document_expires_on"]]
    return max(days, default=UNKNOWN)


@tag
def id_document_state(person: Person) -> Any:
    until = person["id_document_valid_until"]
    if until is None:
        return UNKNOWN
    left = (until - person.day).days
    return "EXPIRED" if left < 0 else "EXP90" if left <= 90 else "VALID"


@tag
def tenure_days(person: Person) -> Any:
    opened = [
        row["opened_on"]
        for row in person.rows("accounts")
        if row["opened_on"] and row["opened_on"] <= person.day
    ]
    if opened:
        return (person.day - min(opened)).days
    return UNKNOWN if person["is_opening_day_known"] is False else NOT_APPLICABLE


@tag
def is_opening_day_known(person: Person) -> Any:
    stated = {(row["source"], row["account_id"]): row["opened_on"] for row in person.rows("accounts")}
    days = [stated.get(account) for account in person.world.accounts_of.get(person.one_id, ())]
    if any(day is not None and day <= person.day for day in days):
        return True
    return False if None in days else NOT_APPLICABLE


@tag
def account_types_held(person: Person) -> Any:
    return sorted({row["account_type"] for row in person.rows("accounts") if row["status"] != "closed"})


@tag
def has_relationship_manager(person: Person) -> Any:
    world = person.world
    key = "managed people"
    if key not in world.__dict__:
        world.__dict__[key] = {
            world.profiles.get((row["from_source"], row["from_key"]))
            for row in world.rows("relationships")
            if row["relationship_type"] == "person_manager" and row["role"] == "manager" and world.holds(row)
        }
    return person.one_id in world.__dict__[key]
