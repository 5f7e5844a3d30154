"""Rows of trusted tables and the people they belong to: for tags, which scan them, and for segments, which ask about them.

Also who belongs to a company or a household: entities that are ends of relationships and have people instead of rows.

A row carries ``one_id`` itself, or the profile (``source``, ``source_key``), or the account (``source``, ``account_id``), whose
owner gets it. A row that may carry both is its profile's, and its account's owner's where it names none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from lakehouse.contracts.reading import contract
from vocabulary.contact_rules import RulePlace

Attribution = Literal["one_id", "profile", "account"]
ValueKind = Literal["boolean", "number", "category", "date"]

# Tables whose rows a segment may ask about, by the name it writes.
DETAIL_TABLES = {
    name: f"trusted.{name}"
    for name in (
        "accounts",
        "assessments",
        "balances",
        "cards",
        "customers",
        "holdings",
        "leads",
        "ledger",
        "loans",
        "order_lines",
        "orders",
        "outside_contacts",
        "points",
        "relationships",
        "standing_orders",
        "transactions",
    )
}
# Why the rows of others are no details.
NO_DETAIL = {
    "account_controls": "controls are no reason to choose anybody; suppression keeps these people out",
    "attributes": "write an attribute as a column of the table of its entity, such as customers",
    "consents": "consent is judged by suppression for every segment",
    "events": "write {event: ...}",
    "identifier_observations": "identifiers name people; a rule does not ask for them",
    "receipts": "write {receipt: ...}",
}
BALANCES = "trusted.balances"
RELATED = "trusted.relationships"
OWNERS = "account_owners"


def attribution_of(columns: Collection[str]) -> Attribution | None:
    """Give how a row with these columns finds its person, None where it finds none."""
    if "one_id" in columns:
        return "one_id"
    if {"source", "source_key"} <= set(columns):
        return "profile"
    return "account" if {"source", "account_id"} <= set(columns) else None


def names_person(table: str) -> bool:
    """Tell whether rows of a trusted table name a person or an account; relationships do by their first end."""
    return table == RELATED or attribution_of(contract(table).columns) is not None


def value_kind(table: str, column: str) -> ValueKind | None:
    """Give what can be asked of a column of a trusted table, None where it holds lists or instants."""
    return kind_of_type(contract(table).columns[column].type)


def kind_of_type(kind: str) -> ValueKind | None:
    """Give what can be asked of a value of a contract's type, None of lists and instants."""
    if kind.startswith("decimal"):
        return "number"
    kinds: dict[str, ValueKind] = {
        "int": "number", "bigint": "number", "smallint": "number", "string": "category", "boolean": "boolean", "date": "date",
    }  # fmt: skip
    return kinds.get(kind)


@dataclass(frozen=True)
class PeopleRows:
    """Spark SQL over rows ``r`` of a table with their people: what follows FROM, the OneID, and which rows count."""

    source: str
    one_id: str
    condition: str
    tables: tuple[str, ...]
    needs_owners: bool


def rows_of_day_sql(table: str, alias: str, place: RulePlace) -> str:
    """Give the condition of a row of a trusted table being known on the business date.

    Of a state table it was valid, of a fact table it had arrived and happened.
    """
    about = contract(table)
    if about.shape == "state":
        return f"{alias}.valid_from <= {place.today} AND ({alias}.valid_to IS NULL OR {alias}.valid_to > {place.today})"
    return f"{alias}._arrived_on <= {place.today} AND {alias}.{about.event_date} <= {place.today}"


def people_rows(
    table: str, place: RulePlace, *, joins: str = "", owner: tuple[str, str] | None = None
) -> PeopleRows:
    """Give the rows of a trusted table as of the business date, each with its person.

    Of a state table the rows that were valid, of a fact table those that had arrived and happened; of balances the last known
    one of each account and class, which holds until the next. ``joins`` are to rows ``r``; ``owner`` is the table and the alias
    among them that carries the person, or else the rows do. Relations ``persons`` (source, source_key, one_id) and, where
    ``needs_owners``, that of ``account_owners_sql`` stand beside it.
    """
    name = place.table(table)
    condition = rows_of_day_sql(table, "r", place)
    if table == BALANCES:
        # The winner is that of dbt's int_balance_spans.
        name = (
            "(SELECT r.*, row_number() OVER (PARTITION BY r.source, r.account_id, r.product_class"
            " ORDER BY r.balance_on DESC, r._arrived_on DESC, r._file DESC, r._row DESC) AS place"
            f" FROM {name} r WHERE {condition})"
        )
        condition = "r.place = 1"
    owner_table, at = owner or (table, "r")
    columns = contract(owner_table).columns
    by_profile = f"p.source = {at}.source AND p.source_key = {at}.source_key"
    by_account = f"o.source = {at}.source AND o.account_id = {at}.account_id"
    attribution = attribution_of(columns)
    rows = f"{name} r{joins}"
    if owner_table == RELATED:
        first_end = f"p.source = {at}.from_source AND p.source_key = {at}.from_key"
        condition += f" AND {_ties_of_people(at, place)}"
        return PeopleRows(f"{rows} JOIN persons p ON {first_end}", "p.one_id", condition, (table,), False)
    if attribution == "profile" and "account_id" in columns:
        source = (
            f"{rows} LEFT JOIN persons p ON {by_profile}"
            f" LEFT JOIN {OWNERS} o ON {at}.source_key IS NULL AND {by_account}"
        )
        one_id = "coalesce(p.one_id, o.one_id)"
        return PeopleRows(source, one_id, f"{condition} AND {one_id} IS NOT NULL", (table, RELATED), True)
    if attribution == "account":
        return PeopleRows(
            f"{rows} JOIN {OWNERS} o ON {by_account}", "o.one_id", condition, (table, RELATED), True
        )
    return PeopleRows(f"{rows} JOIN persons p ON {by_profile}", "p.one_id", condition, (table,), False)


def _ties_of_people(alias: str, place: RulePlace) -> str:
    """Give the condition that a relationship is one of a person and holds on the business date by what the source states."""
    return (
        f"{alias}.relationship_type <> 'card_wallet'"
        f" AND ({alias}.started_on IS NULL OR {alias}.started_on <= {place.today})"
        f" AND ({alias}.ended_on IS NULL OR {alias}.ended_on > {place.today})"
    )


# Entities beyond the person, by the relationship that says who belongs to one.
ENTITY_TIES = {"company": "person_company", "household": "person_household"}
CREDIT_CODE = "credit_code"


def entity_people_sql(entity: str, place: RulePlace) -> str:
    """Give who belongs to every company or household on the business date: entity_key, source, entity_id, one_id, each once.

    ``entity_key`` is the other two as one text. A company is one credit code, whoever states it and in which letters; any other second end is told by its source as well. A household
    may be named by a profile: whoever has it belongs to it too. The relation ``persons`` stands beside it.
    """
    number = f"CASE WHEN r.to_source = '{CREDIT_CODE}' THEN upper(trim(r.to_key)) ELSE trim(r.to_key) END"
    key = f"CASE WHEN r.to_source = '{CREDIT_CODE}' THEN upper(trim(r.to_key)) ELSE concat(r.to_source, '/', trim(r.to_key)) END"
    holds = (
        f"r.relationship_type = '{ENTITY_TIES[entity]}' AND trim(r.to_key) <> ''\n"
        f"    AND r.valid_from <= {place.today} AND (r.valid_to IS NULL OR r.valid_to > {place.today})\n"
        f"    AND (r.started_on IS NULL OR r.started_on <= {place.today})"
        f" AND (r.ended_on IS NULL OR r.ended_on > {place.today})"
    )
    ends = {"from": "p.source = r.from_source AND p.source_key = r.from_key"}
    if entity == "household":
        ends["to"] = "p.source = r.to_source AND p.source_key = r.to_key"
    return "\n  UNION\n  ".join(
        f"SELECT DISTINCT {key} AS entity_key, r.to_source AS source, {number} AS entity_id, p.one_id\n    FROM {place.table(RELATED)} r JOIN persons p ON {end}\n    WHERE {holds}"
        for end in ends.values()
    )


def account_owners_sql(place: RulePlace) -> str:
    """Give the owner of every account: source, account_id, one_id. Of several stated ones the earliest, then the smallest key.

    It is what dbt's ``int_account_owners`` says; a test holds the two equal.
    """
    return (
        "SELECT s.source, s.account_id, p.one_id FROM (\n"
        "    SELECT r.to_source AS source, r.to_key AS account_id,\n"
        "      min_by(struct(r.from_source AS source, r.from_key AS source_key),"
        " struct(coalesce(r.started_on, DATE '9999-12-31') AS day, r.from_source AS source, r.from_key AS source_key)) AS person\n"
        f"    FROM {place.table(RELATED)} r\n"
        "    WHERE r.relationship_type = 'person_account' AND r.role = 'owner'\n"
        f"      AND r.valid_from <= {place.today} AND (r.valid_to IS NULL OR r.valid_to > {place.today})\n"
        f"      AND (r.started_on IS NULL OR r.started_on <= {place.today})"
        f" AND (r.ended_on IS NULL OR r.ended_on > {place.today})\n"
        "    GROUP BY r.to_source, r.to_key) s\n"
        "  JOIN persons p ON p.source = s.person.source AND p.source_key = s.person.source_key"
    )
