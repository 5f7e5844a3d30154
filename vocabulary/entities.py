"""What tags are about: persons by OneID, products, branches and employees by their keys within a source, and groups of people.

Each entity has a wide table of its own, with one row for each of its kind. Companies and households are their people: they have
those who belong to one by ``vocabulary.relations.entity_people_sql``, and no table of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lakehouse.contracts.contract import DBT_DATABASE
from lakehouse.settings.yaml_files import did_you_mean


@dataclass(frozen=True)
class Entity:
    """One kind of thing that tags are about.

    ``plural`` is what several are called, ``key`` the columns that name a row of its wide table, ``about`` those that say more of it.
    ``table`` is the trusted table whose keys are the rows; persons are those of the map of OneIDs, groups of people those that have
    people in ``model``. ``is_personal`` tells that the key says of one person or few whom an answer is about.
    """

    code: str
    plural: str
    key: tuple[str, ...]
    about: tuple[str, ...] = ()
    table: str | None = None
    model: str | None = None
    is_personal: bool = False

    @property
    def rows_model(self) -> str:
        """The dbt model whose keys are the rows of its wide table; persons have one of their own."""
        return self.model or f"stg_{str(self.table).replace('.', '__')}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its wide table that are no tags, before them."""
        return (*self.key, *self.about)

    @property
    def wide_model(self) -> str:
        """The dbt model of its wide table."""
        return f"{self.code}_tags"

    @property
    def current(self) -> str:
        """The table of the newest values."""
        return f"tags.{self.code}_tags"

    @property
    def daily(self) -> str:
        """The table of the values by business date."""
        return f"tags.{self.code}_tags_daily"

    @property
    def work(self) -> str:
        """The table in which dbt leaves the wide model."""
        return f"{DBT_DATABASE}.{self.wide_model}"

    def is_named_by(self, columns: Collection[str]) -> bool:
        """Tell whether rows with these columns name one of its kind."""
        return set(self.key) <= set(columns)


PERSON = Entity("customer", "people", ("one_id",), ("kind",))
PRODUCT = Entity("product", "products", ("source", "product_id"), table="trusted.products")
BRANCH = Entity("branch", "branches", ("source", "branch_id"), table="trusted.branches")
EMPLOYEE = Entity(
    "employee", "employees", ("source", "employee_id"), table="trusted.employees", is_personal=True
)
# A credit code may be one man's, and a household's number is that of few.
COMPANY = Entity(
    "company", "companies", ("source", "company_id"), model="int_company_people", is_personal=True
)
HOUSEHOLD = Entity(
    "household", "households", ("source", "household_id"), model="int_household_people", is_personal=True
)
TAG_ENTITIES: Mapping[str, Entity] = MappingProxyType(
    {entity.code: entity for entity in (PERSON, PRODUCT, BRANCH, EMPLOYEE, COMPANY, HOUSEHOLD)}
)
GROUPS = (COMPANY, HOUSEHOLD)
OTHER_ENTITIES = (PRODUCT, BRANCH, EMPLOYEE, *GROUPS)


def fault_of_entity(code: str) -> str | None:
    """Say why no tag can be about something; None where one can."""
    if code not in TAG_ENTITIES:
        return f"there is no entity '{code}'{did_you_mean(code, list(TAG_ENTITIES))}; tags are about {', '.join(TAG_ENTITIES)}"
    return None
