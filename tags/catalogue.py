"""The catalogue: one row per registered tag, in both languages, with lineage to trusted columns and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.query.published import Published, newest_publication
from lakehouse.query.words import spark_literal
from tags.compile.checks.origins import columns_behind
from tags.compile.compilation import Compilation
from vocabulary.registry import Entry, Owner, Registry

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

log = logging.getLogger("cdp.tags")

CATALOGUE = "tags.catalogue"
IDENTITY = "identity."
MOST_SHOWN = 5


@dataclass(frozen=True)
class TagUsers:
    """Who uses a tag outside the registry: segments in whatever way, and destinations that are given it as a column."""

    segments: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()


def catalogue_rows(
    compilation: Compilation, users: Mapping[str, TagUsers] | None = None
) -> list[dict[str, Any]]:
    """Give the rows of ``tags.catalogue``, in registry order; without ``users`` it is not known who uses a tag."""
    registry = compilation.registry
    online = {entry.code for entry in compilation.entries}
    read_by = readers(registry)
    columns = lineage(compilation)
    rows = []
    for number, entry in enumerate(registry.entries.values(), start=1):
        business, tech = owners(entry)
        rows.append(
            {
                "code": entry.code,
                "number": number,
                "family": entry.family,
                "entity": entry.entity,
                "kind": entry.kind,
                "status": entry.status,
                "pack": entry.pack,
                "off_because": absence.sentence if (absence := registry.absences.get(entry.code)) else None,
                "version": entry.version,
                "name_zh": entry.name.zh,
                "name_en": entry.name.en,
                "definition_zh": entry.definition.zh,
                "definition_en": entry.definition.en,
                "value_type": entry.value.type,
                "cardinality": entry.value.cardinality,
                "domain": entry.value.domain,
                "value_min": _decimal(entry.value.min),
                "value_max": _decimal(entry.value.max),
                "unit": entry.value.unit,
                "null_rule": entry.null_rule,
                "population": entry.population,
                "default_value": None if entry.default is None else spark_literal(entry.default),
                "tie_rule": entry.tie_rule,
                "level": entry.level,
                "purposes": entry.purposes,
                "parameters": [f"{p.name}={spark_literal(p.value)} since {p.since}" for p in entry.params],
                "compute_kind": entry.compute.kind if entry.compute else None,
                "relation": entry.compute.relation if entry.compute else None,
                "compiled_sql": compilation.writer_of(entry).tag_sql(entry) if entry.code in online else None,
                "inputs": entry.inputs,
                "columns_read": list(columns[entry.code].values),
                "columns_deciding": list(columns[entry.code].deciding),
                "read_by": read_by.get(entry.code, []),
                "segments": None if users is None else list(users.get(entry.code, TagUsers()).segments),
                "published_to": None
                if users is None
                else list(users.get(entry.code, TagUsers()).destinations),
                "refresh": entry.refresh,
                "max_staleness_days": entry.max_staleness_days,
                "replaces": entry.replaces,
                "deprecated_on": entry.deprecated_on,
                "owner_business": business,
                "owner_tech": tech,
                "is_site": entry.code in registry.site,
            }
        )
    return rows


def tell_switched_off(settings: Settings, registry: Registry) -> None:
    """Log the tags that were computed when the workspace was last published and are off now, one line for each reason."""
    publication = newest_publication(settings)
    if publication is None or not registry.absences or CATALOGUE not in publication.tables:
        return
    with Published(settings, publication) as published:
        rows = published.rows(f"SELECT code FROM {CATALOGUE} WHERE compiled_sql IS NOT NULL ORDER BY number")
    reasons: dict[tuple[str, str], list[str]] = {}
    for (code,) in rows:
        if absence := registry.absences.get(code):
            reasons.setdefault((absence.sentence, absence.remedy), []).append(code)
    for (sentence, remedy), codes in reasons.items():
        more = f" and {len(codes) - MOST_SHOWN} more" if len(codes) > MOST_SHOWN else ""
        log.warning(
            "%d tags are off from this night on: %s; %s: %s%s; what was published of them stays in the daily snapshots",
            len(codes), sentence, remedy, ", ".join(codes[:MOST_SHOWN]), more,
        )  # fmt: skip


@dataclass(frozen=True)
class TagColumns:
    """The contracted columns that a tag depends on in the end, through all tags that it reads, each sorted.

    ``values`` are those that it is made of, its inputs and what its expressions come from. ``deciding`` are the others that decide which
    rows count and whose they are. Of the database ``identity`` these are left out: it says of every row whose it is.
    """

    values: tuple[str, ...]
    deciding: tuple[str, ...]


def lineage(compilation: Compilation) -> dict[str, TagColumns]:
    """Give by tag the columns that it depends on; of a tag that is not computed those that its inputs name."""
    registry = compilation.registry
    behind = {
        entry.code: columns_behind(entry, scan.relation, compilation.lineage)
        for plan in compilation.plans
        for scan in plan.scans
        for entry in scan.entries
    }
    columns = {}
    for code in registry.entries:
        codes = _with_tags_read(registry, code)
        parts = [behind[one] for one in codes if one in behind]
        inputs = {column for one in codes for column in registry[one].column_inputs}
        values = inputs.union(*(part.values for part in parts))
        deciding = {
            column for part in parts for column in part.deciding.all if not column.startswith(IDENTITY)
        }
        columns[code] = TagColumns(tuple(sorted(values)), tuple(sorted(deciding - values)))
    return columns


def _with_tags_read(registry: Registry, code: str) -> set[str]:
    codes: set[str] = set()
    waiting = [code]
    while waiting:
        current = waiting.pop()
        if current not in codes and current in registry.entries:
            codes.add(current)
            waiting += registry[current].tag_inputs
    return codes


def readers(registry: Registry) -> dict[str, list[str]]:
    """Give, per tag, the tags that read it."""
    codes: dict[str, list[str]] = {}
    for entry in registry.entries.values():
        for code in entry.tag_inputs:
            codes.setdefault(code, []).append(entry.code)
    return {code: sorted(names) for code, names in codes.items()}


def owners(entry: Entry) -> tuple[str, str]:
    """Give who answers for the meaning and who for the computation."""
    if isinstance(entry.owner, Owner):
        return entry.owner.business, entry.owner.tech
    return entry.owner, entry.owner


def _decimal(value: Decimal | None) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal("0.000001"))
