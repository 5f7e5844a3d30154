"""From delivered records to the graph a night decides: identifiers and facts, numbered by the dictionary of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.reading.facts import come_of_age, days_of, facts_of_profiles, is_impossible, look_up
from identity.reading.facts import common_names as common_names_of
from identity.reading.graph import ABSENT, UNDATED, Graph, Identifiers, Links, Profiles
from identity.reading.values import JudgedRows, KeyedHashes, Values, distinct_records, judge_all
from identity.rules.normalise import masked
from identity.rules.rules import Rules

NODE_SCHEMA = pa.schema(
    [
        ("node_id", pa.int64()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("source_key", pa.string()),
        ("namespace", pa.string()),
        ("value", pa.string()),
        ("masked", pa.string()),
        ("first_known_on", pa.date32()),
    ]
)


@dataclass(frozen=True)
class Observed:
    """Everything one night's identity works from.

    ``profiles`` has source and source_key in the order of places. ``new_nodes`` are the rows the dictionary has to gain before anything else is written. ``invalid`` are
    (profile node id, namespace, reason) of delivered values that are no identifiers.
    """

    graph: Graph
    new_nodes: pa.Table
    profiles: pa.Table
    invalid: pa.Table
    kinds: np.ndarray
    clear: pa.ChunkedArray
    clear_order: np.ndarray

    def masked_of(self, identifier: int) -> str:
        """Give an identifier (its place) as people may see it."""
        namespace = self.graph.namespaces[int(self.graph.identifiers.namespaces[identifier])]
        clear = self.clear.take(pa.array(self.clear_order[[identifier]])).combine_chunks()
        return str(masked(namespace, clear)[0].as_py())


def observe(
    *,
    customers: pa.Table,
    observations: pa.Table,
    nodes: pa.Table,
    rules: Rules,
    key: bytes,
    business_date: date,
    common_names: pa.Table | None = None,
    highest: int | None = None,
    hashes: Mapping[str, KeyedHashes] | None = None,
) -> Observed:
    """Give the identity graph of the open rows of customers and observations (columns as in their contracts).

    ``nodes`` is the dictionary so far, or the part of it that these rows may name; ``highest`` its largest number. New
    nodes get ``max + rank`` in the order of (source, source_key), then (namespace, value), so input order never
    matters. ``common_names`` are the names that are nobody's (by default those of these customers),
    ``hashes`` what the key has made of values before (see ``carried_values``).
    """
    profile_rows = distinct_records(customers, observations)
    known_nodes = nodes.filter(pc.equal(nodes["kind"], "profile"))
    ids = look_up(
        profile_rows["source"],
        profile_rows["source_key"],
        known_nodes["source"],
        known_nodes["source_key"],
        known_nodes["node_id"],
    )
    if highest is None:
        highest = pc.max(nodes["node_id"]).as_py() or 0
    fresh = ids == ABSENT
    ids[fresh] = highest + 1 + np.arange(int(fresh.sum()))  # the rows are sorted
    new = [_profile_nodes(profile_rows.filter(pa.array(fresh)), ids[fresh], business_date)]
    highest += int(fresh.sum())

    usable = observations.filter(pc.equal(observations["role"], "identity"))
    by_namespace = judge_all(usable, profile_rows, rules, key, hashes or {})
    namespaces = [values.namespace for values, *_ in by_namespace]

    known_nodes = nodes.filter(pc.equal(nodes["kind"], "identifier"))
    builder = _Identifiers(highest, business_date)
    for values, profiles, places, verified, observed in by_namespace:
        builder.add(
            values,
            known_nodes.filter(pc.equal(known_nodes["namespace"], values.namespace)),
            profiles,
            places,
            verified,
            observed,
        )
    new.append(builder.new_nodes())

    order = np.argsort(ids, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    identifiers, links = builder.finish(rank)
    facts = facts_of_profiles(
        customers, profile_rows, rules, documented=_documented(by_namespace, rules, len(ids)),
        common=common_names_of(customers, rules) if common_names is None else common_names,
    )  # fmt: skip
    births, genders = builder.stated_by_documents(facts.birth_dates, facts.genders)
    impossible_births = np.where(is_impossible(births, business_date), births, UNDATED)
    births = np.where(impossible_births == UNDATED, births, UNDATED)
    sources = pc.dictionary_encode(profile_rows["source"].combine_chunks())
    codes = (
        _ranks(sources.dictionary)[np.asarray(sources.indices)] if len(ids) else np.zeros(0, dtype=np.int64)
    )
    profiles_graph = Profiles(
        node_ids=ids[order],
        ranks=order,
        sources=codes[order],
        source_names=sorted(sources.dictionary.to_pylist()),
        legal_names={k: v[order] for k, v in facts.legal_names.items()},
        birth_dates=births[order],
        genders=genders[order],
        impossible_births=impossible_births[order],
        of_age_on=come_of_age(births[order], business_date, rules.contacts_from_age),
    )
    invalid = _invalid(by_namespace, ids)
    graph = Graph(profiles_graph, identifiers, links, namespaces, days_of(business_date))
    return Observed(
        graph, pa.concat_tables(new), profile_rows.take(pa.array(order)), invalid, facts.kinds[order],
        pa.chunked_array([v.clear for v in builder.values], pa.string()), builder.order,
    )  # fmt: skip


def _ranks(values: pa.Array) -> np.ndarray:
    """Give each value's place among the sorted values."""
    order = pc.sort_indices(values).to_numpy()
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _profile_nodes(rows: pa.Table, ids: np.ndarray, business_date: date) -> pa.Table:
    none = pa.nulls(len(ids), pa.string())
    return pa.table(
        [pa.array(ids), _repeated("profile", len(ids)), rows["source"], rows["source_key"], none, none, none,
         pa.array([business_date] * len(ids), type=pa.date32())],
        schema=NODE_SCHEMA,
    )  # fmt: skip


def _repeated(text: str, size: int) -> pa.Array:
    return pa.array(np.repeat(np.array([text], dtype=object), size), type=pa.string())


def _documented(by_namespace: list[JudgedRows], rules: Rules, size: int) -> np.ndarray:
    """Tell which profiles carry an identity document, well formed or not: their names and dates are legal ones."""
    has_document = np.zeros(size, dtype=bool)
    for values, profiles, *_ in by_namespace:
        rule = rules.rule(values.namespace)
        if rule is not None and rule.kind == "person":
            has_document[profiles] = True
    return has_document


def _invalid(by_namespace: list[JudgedRows], ids: np.ndarray) -> pa.Table:
    profiles, namespaces, reasons = [], [], []
    for values, rows, places, *_ in by_namespace:
        wrong = np.flatnonzero(places == ABSENT)
        profiles.append(ids[rows[wrong]])
        namespaces += [values.namespace] * len(wrong)
        reasons += values.row_reasons[wrong].tolist()
    profile_ids = np.concatenate(profiles) if profiles else np.zeros(0, dtype=np.int64)
    table = pa.table(
        {
            "profile_id": profile_ids,
            "namespace": pa.array(namespaces, pa.string()),
            "reason": pa.array(reasons, pa.string()),
        }
    )
    return table.group_by(["profile_id", "namespace", "reason"]).aggregate([])


class _Identifiers:
    """Numbers identifiers namespace by namespace and gathers links; ``finish`` puts all in the order of node ids."""

    def __init__(self, highest: int, business_date: date) -> None:
        self.highest = highest
        self.business_date = business_date
        self.fresh: list[pa.Table] = []
        self.ids: list[np.ndarray] = []
        self.codes: list[np.ndarray] = []
        self.values: list[Values] = []
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self.order = np.zeros(0, dtype=np.int64)

    def add(
        self,
        values: Values,
        known_nodes: pa.Table,
        profiles: np.ndarray,
        places: np.ndarray,
        verified: np.ndarray,
        observed: np.ndarray,
    ) -> None:
        at = pc.fill_null(
            pc.index_in(values.dictionary_values, value_set=known_nodes["value"]), ABSENT
        ).to_numpy(zero_copy_only=False)
        ids = np.full(len(values.dictionary_values), ABSENT, dtype=np.int64)
        ids[at >= 0] = known_nodes["node_id"].to_numpy()[at[at >= 0]]
        fresh = np.flatnonzero(ids == ABSENT)
        fresh = fresh[pc.sort_indices(values.dictionary_values.take(pa.array(fresh))).to_numpy()]
        ids[fresh] = self.highest + 1 + np.arange(len(fresh))
        self.highest += len(fresh)
        size = len(fresh)
        none = pa.nulls(size, pa.string())
        self.fresh.append(
            pa.table(
                [pa.array(ids[fresh]), _repeated("identifier", size), none, none, _repeated(values.namespace, size),
                 values.dictionary_values.take(pa.array(fresh)), masked(values.namespace, values.clear.take(pa.array(fresh))),
                 pa.array([self.business_date] * size, type=pa.date32())],
                schema=NODE_SCHEMA,
            )
        )  # fmt: skip
        offset = sum(len(i) for i in self.ids)
        usable = places != ABSENT
        self.rows.append((profiles[usable], places[usable] + offset, verified[usable], observed[usable]))
        self.codes.append(np.full(len(ids), len(self.values), dtype=np.int64))
        self.ids.append(ids)
        self.values.append(values)

    def new_nodes(self) -> pa.Table:
        return pa.concat_tables(self.fresh) if self.fresh else NODE_SCHEMA.empty_table()

    def finish(self, rank_of_profile: np.ndarray) -> tuple[Identifiers, Links]:
        """Give identifiers in the order of their ids and one link per profile and identifier."""
        if not self.ids:
            nothing = np.zeros(0, dtype=np.int64)
            empty = np.zeros(0, dtype=object)
            none = pa.array([], pa.string())
            return Identifiers(nothing, nothing, none, empty, empty, nothing), Links(
                nothing, nothing, nothing.astype(bool), nothing
            )
        ids = np.concatenate(self.ids)
        order = self.order = np.argsort(ids, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        identifiers = Identifiers(
            ids[order],
            np.concatenate(self.codes)[order],
            pa.chunked_array([v.dictionary_values for v in self.values], pa.string())
            .take(pa.array(order))
            .combine_chunks(),
            np.concatenate([v.states for v in self.values])[order],
            np.concatenate([v.reasons for v in self.values])[order],
            np.zeros(len(ids), dtype=np.int64),
        )
        profiles, places, verified, observed = (
            np.concatenate([row[i] for row in self.rows]) for i in range(4)
        )
        mine, theirs = rank_of_profile[profiles], rank[places]
        sorting = np.lexsort((theirs, mine))
        mine, theirs, verified, observed = (
            mine[sorting],
            theirs[sorting],
            verified[sorting],
            observed[sorting],
        )
        if not len(mine):
            return identifiers, Links(mine, theirs, verified.astype(bool), observed)
        first = np.flatnonzero(np.r_[True, (mine[1:] != mine[:-1]) | (theirs[1:] != theirs[:-1])])
        return identifiers, Links(
            mine[first],
            theirs[first],
            np.maximum.reduceat(verified.astype(np.int8), first).astype(bool),
            np.maximum.reduceat(observed, first),
        )

    def stated_by_documents(
        self, birth_dates: np.ndarray, genders: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lay what identity numbers state over what the records say; the smallest number wins where a record has two."""
        births, sexes = birth_dates.copy(), genders.copy()
        start = 0
        for values, (profiles, places, *_) in zip(self.values, self.rows, strict=True):
            local = places - start
            start += len(values.dictionary_values)
            has_birth_date = values.birth_dates[local] != UNDATED
            order = np.argsort(-local[has_birth_date], kind="stable")
            births[profiles[has_birth_date][order]] = values.birth_dates[local][has_birth_date][order]
            sexes[profiles[has_birth_date][order]] = values.genders[local][has_birth_date][order]
        return births, sexes
