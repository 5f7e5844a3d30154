"""The kernels of a night: what values are identifiers, who is one person, which number it has, which statements survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components.arrays import distinct_pairs
from identity.joining.check import count_violations, large_person
from identity.joining.decide import ComponentOutcome, RawComponents, decide_components
from identity.nights.golden import golden_records
from identity.nights.kinds import kind_ranks
from identity.nights.number import weights_of
from identity.numbering.holdings import NONE
from identity.numbering.mint import changes_of_numbers, held_elsewhere, remember_numbers
from identity.numbering.people import PeopleTonight, map_before
from identity.reading.decisions import PairDecision
from identity.reading.graph import ABSENT
from identity.reading.holdings import SCHEMA as HOLDINGS
from identity.reading.observe import NODE_SCHEMA
from identity.reading.records import COLUMNS
from identity.reading.values import distinct_records, judge_all
from identity.rules.normalise import masked
from identity.rules.rules import ATTRIBUTES, GoldenRules, Rules
from lakehouse.contracts.reading import contract


def _columns_of(table: str, *names: str) -> pa.Schema:
    """Give columns of a contracted table, which only the driver can read: a kernel brings its own to the workers."""
    schema = contract(table).arrow_schema()
    return pa.schema([schema.field(name) for name in names])


def _records_of(table: str) -> pa.Schema:
    return _columns_of(table, *COLUMNS[table])


_KEYS = ("source", "source_key")
_NODES = pa.schema([NODE_SCHEMA.field(n) for n in ("node_id", "kind", *_KEYS, "namespace", "value")])
_IDENTIFIER_NODES = {"namespace": pa.string(), "value": pa.string()}


@dataclass(frozen=True)
class ValuesKernel:
    """Normalise, judge and hash delivered values; any rows may be a bucket.

    Gives ``carried`` (which record carries which value, and whether the value may join people) and ``values``, those the
    dictionary has to have.
    """

    rules: Rules
    key: bytes = field(repr=False)

    takes: Mapping[str, pa.Schema] = field(
        default_factory=lambda: {"observations": _records_of("trusted.identifier_observations")}
    )
    gives: ClassVar = {
        "carried": pa.schema({**dict.fromkeys(_KEYS, pa.string()), **_IDENTIFIER_NODES, "joins": pa.bool_()}),
        "values": pa.schema({**_IDENTIFIER_NODES, "masked": pa.string()}),
    }

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Give what the rows of a bucket carry."""
        rows = tables["observations"].filter(pc.equal(tables["observations"]["role"], "identity"))
        records = distinct_records(rows)
        carried_rows, values_of_rows = ([schema.empty_table()] for schema in self.gives.values())
        for values, profiles, places, *_ in judge_all(rows, records, self.rules, self.key, {}):
            size = len(values.dictionary_values)
            (tier,) = self.rules.tiers_of([values.namespace])
            joins = (values.states == "active") & (tier >= 0)
            is_value = places != ABSENT
            at, whose = distinct_pairs(places[is_value], profiles[is_value])
            owners = records.take(pa.array(whose))
            stated_values = values.dictionary_values.take(pa.array(at))
            namespaces = pa.repeat(values.namespace, len(at))
            carried_rows.append(
                pa.table(
                    [*(owners[n] for n in _KEYS), namespaces, stated_values, pa.array(joins[at], pa.bool_())],
                    schema=self.gives["carried"],
                )
            )
            forms = masked(values.namespace, values.clear)
            values_of_rows.append(
                pa.table(
                    [pa.repeat(values.namespace, size), values.dictionary_values, forms],
                    schema=self.gives["values"],
                )
            )
        return {"carried": pa.concat_tables(carried_rows), "values": pa.concat_tables(values_of_rows)}


def _decisions() -> dict[str, pa.Schema]:
    return {
        "profiles": pa.schema(
            {"profile_id": pa.int64(), **dict.fromkeys(_KEYS, pa.string()), "person": pa.int64(), "kind": pa.int64(),
             "weight": pa.int64()}
        ),
        "components": _columns_of("identity.components", "node_id", "raw_component_id", "is_profile"),
        "links": _columns_of(
            "identity.links", "profile_id", "identifier_id", "source", "namespace", "verified", "status", "ended_on", "due_on"
        ),
        "node_states": _columns_of("identity.node_states", "node_id", "state", "reason"),
        "refused_links": _columns_of(
            "identity.refused_links", "profile_id", "identifier_id", "namespace", "rule", "reason", "other_profile_id"
        ),
        "figures": pa.schema(
            {"violations": pa.int64(), "kept_oversized": pa.int64(), "refused": pa.int64(), "expired": pa.int64(),
             "largest": pa.int64(), "person": pa.int64(), "sentence": pa.string()}
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class PeopleKernel:
    """Decide who is one person among whole raw components; see ``identity.joining.decide``.

    ``highest`` is the largest number of the dictionary, which has every record and value by then.
    """

    rules: Rules
    business_date: date
    decisions: tuple[PairDecision, ...]
    common_names: pa.Table
    highest: int
    key: bytes = field(repr=False)

    takes: Mapping[str, pa.Schema] = field(
        default_factory=lambda: {
            "customers": _records_of("trusted.customers"),
            "observations": _records_of("trusted.identifier_observations"),
            "nodes": _NODES,
            "outside": pa.schema({"identifier_id": pa.int64(), "n": pa.int64()}),
        }
    )
    gives: Mapping[str, pa.Schema] = field(default_factory=lambda: _decisions())

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Decide a bucket."""
        nodes = tables["nodes"]
        for name in ("masked", "first_known_on"):
            nodes = nodes.append_column(
                NODE_SCHEMA.field(name), pa.nulls(len(nodes), NODE_SCHEMA.field(name).type)
            )
        components = RawComponents(
            customers=tables["customers"],
            observations=tables["observations"],
            nodes=nodes.select(NODE_SCHEMA.names),
            highest=self.highest,
            decisions=self.decisions,
            common_names=self.common_names,
            outside=tables["outside"],
        )
        outcome = decide_components(components, self.rules, key=self.key, business_date=self.business_date)
        graph = outcome.graph
        if graph.identifiers.node_ids[graph.links.identifiers].max(initial=0) > self.highest:
            raise AssertionError(
                "a record carries a value that the dictionary does not have; nothing was written"
            )
        profiles = outcome.observed.profiles
        return {
            "profiles": pa.table(
                [graph.profiles.node_ids, profiles["source"], profiles["source_key"], outcome.people,
                 kind_ranks(outcome.observed), weights_of(outcome, self.rules)],
                schema=self.gives["profiles"],
            ),
            "components": outcome.raw_components(),
            "links": outcome.links(),
            "node_states": outcome.node_states(),
            "refused_links": outcome.refused_links(),
            "figures": pa.Table.from_pylist([self._figures(outcome)], schema=self.gives["figures"]),
        }  # fmt: skip

    def _figures(self, outcome: ComponentOutcome) -> dict[str, object]:
        states = outcome.grouping.link_states
        largest = large_person(outcome.observed, outcome.grouping, self.rules)
        return {
            "violations": count_violations(outcome.graph, outcome.grouping, self.rules),
            "kept_oversized": outcome.grouping.kept_oversized,
            "refused": int(np.count_nonzero(states == "refused")),
            "expired": int(np.count_nonzero(states == "expired")),
            "largest": 0 if largest is None else largest.profiles,
            "person": 0 if largest is None else largest.profile_id,
            "sentence": None if largest is None else largest.sentence,
        }


@dataclass(frozen=True)
class NumbersKernel:
    """Give people the numbers that their records held; a bucket has all persons that ever shared one.

    ``holdings`` are all rows of the numbers that its records ever held, also those of other records: ``is_decided`` marks
    records that the night decides, ``is_stated`` others that are in the map. Gives ``people`` (``one_id`` is null where
    nothing is remembered) and the ``events`` of numbers that did not simply stay, which go to the person ``anchor``.
    """

    business_date: date

    takes: ClassVar = {
        "profiles": pa.schema(
            {"profile_id": pa.int64(), "person": pa.int64(), "weight": pa.int64(), "is_known": pa.bool_()}
        ),
        "holdings": pa.schema([*HOLDINGS, ("is_decided", pa.bool_()), ("is_stated", pa.bool_())]),
    }
    gives: ClassVar = {
        "people": pa.schema({"anchor": pa.int64(), "one_id": pa.int64(), "has_id_before": pa.bool_()}),
        "events": pa.schema(
            {"event": pa.string(), "from_one_id": pa.int64(), "anchor": pa.int64(), "profile_count": pa.int64()}
        ),
    }  # fmt: skip

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Give the numbers of a bucket."""
        profiles, holdings = tables["profiles"].sort_by("profile_id"), tables["holdings"]
        tonight = PeopleTonight(*(profiles[name].to_numpy() for name in self.takes["profiles"].names))
        is_decided = holdings["is_decided"]
        memory = remember_numbers(
            tonight,
            # What the dictionary alone remembers is asked afterwards, and needs no bucket.
            map_before(holdings.filter(is_decided), self.business_date, has_nights=True),
            held_elsewhere(holdings.filter(pc.invert(is_decided))),
        )
        people, one_ids = memory.people, memory.one_ids
        events = [
            {
                "event": event,
                "from_one_id": one_id,
                "anchor": int(people.anchors[person]),
                "profile_count": count,
            }
            for event, one_id, person, count in changes_of_numbers(memory)
        ]
        return {
            "people": pa.table(
                [people.anchors, pa.array(one_ids, mask=one_ids == NONE), people.has_id_before],
                schema=self.gives["people"],
            ),
            "events": pa.Table.from_pylist(events, schema=self.gives["events"]),
        }


def _statements() -> pa.Schema:
    of_person = [("one_id", pa.int64()), ("profile_id", pa.int64()), ("is_verified", pa.bool_())]
    return pa.schema(
        [*of_person, *_columns_of("trusted.customers", *_KEYS, "_feed", "valid_from", *ATTRIBUTES)]
    )


def _golden_records() -> pa.Schema:
    names = (name for attribute in ATTRIBUTES for name in (attribute, f"{attribute}_profile_id"))
    return _columns_of("identity.golden_records", "one_id", *names)


@dataclass(frozen=True)
class GoldenKernel:
    """Let statements of people survive; a bucket has all records of its people (see ``identity.nights.golden``)."""

    rules: GoldenRules

    takes: Mapping[str, pa.Schema] = field(default_factory=lambda: {"statements": _statements()})
    gives: Mapping[str, pa.Schema] = field(default_factory=lambda: {"golden_records": _golden_records()})

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Give the golden records of a bucket."""
        return {"golden_records": golden_records(tables["statements"], self.rules)}
