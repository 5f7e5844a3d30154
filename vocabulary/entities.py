"""What tags are about: persons by OneID, and products, branches and employees by their keys within a source.

Each entity has a wide table of its own, with one row for each of its kind. Companies and households have none: they are
their people, and a segment chooses them by these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lakehouse.settings.yaml_files import did_you_mean


@dataclass(frozen=True)
class Entity:
    """One kind of thing that tags are about.

    ``plural`` is what several are called, ``key`` the columns that name a row of its wide table, ``about`` those that say more of it.
    ``table`` is the trusted table whose keys are the rows; persons are those of the map of OneIDs.
    """

    code: str
    plural: str
    key: tuple[str, ...]
    about: tuple[str, ...] = ()
    table: str | None = None

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
        return f"tags_work.{self.wide_model}"

    def is_named_by(self, columns: Collection[str]) -> bool:
        """Tell whether rows with these columns name one of its kind."""
        return set(self.key) <= set(columns)


PERSON = Entity("customer", "people", ("one_id",), ("kind",))
PRODUCT = Entity("product", "products", ("source", "product_id"), table="trusted.products")
BRANCH = Entity("branch", "branches", ("source", "branch_id"), table="trusted.branches")
EMPLOYEE = Entity("employee", "employees", ("source", "employee_id"), table="trusted.employees")
TAG_ENTITIES: Mapping[str, Entity] = MappingProxyType(
    {entity.code: entity for entity in (PERSON, PRODUCT, BRANCH, EMPLOYEE)}
)
OTHER_ENTITIES = (PRODUCT, BRANCH, EMPLOYEE)
# Entities that are groups of people; see ADR 31.
_GROUPS = ("company", "household")


def fault_of_entity(code: str) -> str | None:
    """Say why no tag can be about something; None where one can."""
    if code in _GROUPS:
        return f"a {code} has no tags of its own: it is its people, and a segment of `entity: {code}` asks their tags by `members`"
    if code not in TAG_ENTITIES:
        return f"there is no entity '{code}'{did_you_mean(code, [*TAG_ENTITIES, *_GROUPS])}; tags are about {', '.join(TAG_ENTITIES)}"
    return None
