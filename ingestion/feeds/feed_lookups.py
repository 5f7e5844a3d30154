"""What the expressions of a feed look up in trusted tables: by which delivered columns, and what they find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lakehouse.expressions.expression import parse_expression
from vocabulary.attributes import Attributes
from vocabulary.lookups import LookupColumn, LookupInvalid, Lookups


@dataclass(frozen=True)
class LookupUse:
    """One name such as ``product.category``: from which table and to what it leads, and the delivered columns with the first keys."""

    name: str
    table: str
    end: LookupColumn
    key_columns: Mapping[str, str]
    """The delivered column by the column of the table that it is a key of."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables on the way, the last one included."""
        return tuple(step.to for step in self.end.path)


def lookup_uses_of(
    table: str,
    entry: Mapping[str, str],
    text: str,
    *,
    lookups: Lookups,
    attributes: Attributes,
    columns: Iterable[str],
) -> list[LookupUse]:
    """Give what a text of a mapping looks up from the rows of its table; ``LookupInvalid`` where it cannot.

    The keys are what the mapping says of the columns that the look-up begins with: delivered columns as they are.
    """
    columns_by_name = {name.lower(): name for name in columns}
    uses = []
    for name in parse_expression(text).columns:
        if "." not in name or name.lower() in columns_by_name:
            continue
        try:
            end = lookups.column(table, name, attributes)
        except LookupInvalid as wrong:
            raise LookupInvalid(f"'{name}' is no delivered column, and {wrong}") from None
        if end.attribute is not None and end.attribute.is_property:
            raise LookupInvalid(
                f"'{name}' is a property of an {end.attribute.entity}; a feed looks up columns and attributes that feeds fill"
            )
        keys = {}
        for column, other in end.path[0].keys.items():
            expression = parse_expression(entry[column]) if column in entry else None
            names = expression.columns if expression else ()
            if (
                expression is None
                or len(names) != 1
                or expression.text.strip("` ").lower() != names[0].lower()
            ):
                raise LookupInvalid(
                    f"'{name}' is looked up by {table}.{column}, which the feed must map to a delivered column as it is"
                )
            if names[0].lower() not in columns_by_name:
                raise LookupInvalid(f"'{name}' is looked up by '{names[0]}', which is no delivered column")
            keys[other] = columns_by_name[names[0].lower()]
        uses.append(LookupUse(name, table, end, keys))
    return uses
