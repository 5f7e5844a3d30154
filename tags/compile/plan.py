"""What is read once and what is derived from it: the scans and the layers of rules of all online tags."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from lakehouse.errors import CdpError
from lakehouse.settings.yaml_files import did_you_mean
from tags.compile.entry_texts import population_inputs
from tags.compile.relations import TagSource, TagSources
from vocabulary.entities import PERSON, TAG_ENTITIES, Entity
from vocabulary.lookups import LookupInvalid
from vocabulary.registry import Entry, Registry


@dataclass(frozen=True)
class Scan:
    """One pass over a relation and the tags it answers; a ``column`` source has one row per person, or entity, already."""

    relation: TagSource
    entries: tuple[Entry, ...]
    aggregated: bool

    @property
    def model(self) -> str:
        """The dbt model to join: the generated scan, or the hand-written model itself."""
        entity = self.relation.entity.code
        return f"tag_{entity}__{self.relation.noun}" if self.aggregated else self.relation.model


@dataclass(frozen=True)
class ScanPlan:
    """What will be generated for one entity: scans, layers of rules, and the order of columns."""

    entries: tuple[Entry, ...]
    scans: tuple[Scan, ...]
    layers: tuple[tuple[Entry, ...], ...]
    entity: Entity = PERSON
    absent: tuple[Entry, ...] = ()
    """Tags that are off and that computed ones, or their populations, read all the same: to these nobody has them."""


def plan_scans(registry: Registry, relations: TagSources, entity: Entity = PERSON) -> ScanPlan:
    """Give the scans and layers for every online tag of an entity; a cycle or a tag that is not computed raises."""
    entries = tuple(registry.online(entity))
    readers: dict[tuple[str, str | None, bool], list[Entry]] = {}
    for entry in entries:
        if entry.compute is None:
            raise registry.fault(
                entry.code, f"the tag '{entry.code}' is online and has no 'compute'", "status"
            )
        if entry.compute.kind == "model":
            raise registry.fault(
                entry.code, "model tags are not computed yet; keep the tag as draft", "compute"
            )
        if entry.compute.relation:
            form = entry.compute.aggregate or entry.compute.latest
            key = (entry.compute.relation, form.via if form else None, form is not None)
            readers.setdefault(key, []).append(entry)
    scans = []
    for (name, via, aggregated), readings in readers.items():
        first = readings[0]
        kind = first.compute.kind if first.compute else "aggregate"
        try:
            if entity == PERSON:
                relation = relations.find(name, via)
            elif name == PERSON.wide_model:
                relation = relations.people_of(entity, via, [one.code for one in registry.online(PERSON)])
            else:
                relation = relations.find_of(entity, name, via)
        except CdpError as wrong:
            raise registry.fault(first.code, wrong.message, "compute", kind, "from") from None
        except LookupInvalid as wrong:
            raise registry.fault(first.code, f"via '{via}': {wrong}", "compute", kind, "via") from None
        scans.append(Scan(relation, tuple(readings), aggregated))
    layers = _layers(registry, entries)
    return ScanPlan(entries, tuple(scans), layers, entity, _absent(registry, entries))


def _absent(registry: Registry, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    codes = {code for entry in entries if _is_rule(entry) for code in entry.tag_inputs}
    codes |= {code for entry in entries for code in population_inputs(entry)}
    return tuple(
        entry for code, entry in registry.entries.items() if code in codes & registry.absences.keys()
    )


def plan_of(plan: ScanPlan, codes: Collection[str]) -> ScanPlan:
    """Give the part of a plan that computes some tags, and the tags that they read."""
    entries = {entry.code: entry for entry in plan.entries}
    codes_read: set[str] = set()
    waiting = list(codes)
    while waiting:
        code = waiting.pop()
        if code not in codes_read and code in entries:
            codes_read.add(code)
            waiting += _rule_inputs(entries[code], entries) if _is_rule(entries[code]) else []

    def part(entries_of_plan: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return tuple(entry for entry in entries_of_plan if entry.code in codes_read)

    scans = tuple(replace(scan, entries=part(scan.entries)) for scan in plan.scans)
    layers = tuple(part(layer) for layer in plan.layers)
    return ScanPlan(
        part(plan.entries),
        tuple(scan for scan in scans if scan.entries),
        (*layers[:1], *(layer for layer in layers[1:] if layer)),
        plan.entity,
        plan.absent,
    )


def _layers(registry: Registry, entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], ...]:
    """Layer 0 is what is only read; a rule stands one layer above the highest tag it reads."""
    online = {entry.code: entry for entry in entries}
    depth: dict[str, int] = {}

    def visit(code: str, path: tuple[str, ...]) -> int:
        if code in path:
            circle = " → ".join([*path[path.index(code) :], code])
            raise registry.fault(path[-1], f"the tags read one another in a circle: {circle}", "inputs")
        if code not in depth:
            entry = online[code]
            for other in entry.tag_inputs if _reads_people(entry) else ():
                if other not in online and (
                    other not in registry.entries or registry[other] not in registry.online(PERSON)
                ):
                    raise _unread(registry, entry, other)
            inputs = _rule_inputs(entry, online) if _is_rule(entry) else []
            if entry.pack is not None or entry.needs is not None:
                # It is computed all the same, by what it needs or by the settings.
                inputs = [other for other in inputs if other not in registry.absences]
            for other in inputs:
                if other not in online:
                    raise _unread(registry, entry, other)
            depth[code] = (
                1 + max((visit(o, (*path, code)) for o in inputs), default=0) if _is_rule(entry) else 0
            )
        return depth[code]

    for entry in entries:
        visit(entry.code, ())
    return tuple(
        tuple(e for e in entries if depth[e.code] == level)
        for level in range(1 + max(depth.values(), default=0))
    )


def _unread(registry: Registry, entry: Entry, other: str) -> Exception:
    if absence := registry.absences.get(other):
        return registry.fault(
            entry.code,
            f"'{entry.code}' reads the tag '{other}', which is off: {absence.sentence}; {absence.remedy}",
            "inputs",
        )
    if other in registry.entries:
        state, entity = registry.entries[other].status, registry.entries[other].entity
        if entity != entry.entity and state in ("online", "deprecated"):
            way = (
                f"; aggregate over `{PERSON.wide_model}` with `via`, the model that says which people belong to a {entry.entity}"
                if TAG_ENTITIES[entity] == PERSON
                else ""
            )
            return registry.fault(
                entry.code,
                f"'{entry.code}' is a tag of the {entry.entity} and reads '{other}', a tag of the {entity}{way}",
                "inputs",
            )
        return registry.fault(
            entry.code, f"'{entry.code}' reads the tag '{other}', which is {state}", "inputs"
        )
    hint = did_you_mean(other, list(registry.entries))
    return registry.fault(entry.code, f"'{entry.code}' reads the unknown tag '{other}'{hint}", "inputs")


def _rule_inputs(entry: Entry, own: Collection[str]) -> list[str]:
    """Give the tags that a rule reads of the row itself: what is counted over people is read by a scan."""
    if _reads_people(entry):
        return [code for code in entry.tag_inputs if code in own]
    return entry.tag_inputs


def _reads_people(entry: Entry) -> bool:
    """Tell whether a tag of another entity is counted over people's tags."""
    return entry.about != PERSON and entry.compute is not None and entry.compute.relation == PERSON.wide_model


def _is_rule(entry: Entry) -> bool:
    return bool(entry.null_when) or entry.compute is None or entry.compute.relation is None
