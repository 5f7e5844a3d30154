"""From delivered observations to identifiers and facts: normalised, judged, numbered by the dictionary of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.arrays import distinct_pairs
from identity.facts import come_of_age, common_names, days_of, facts_of_profiles, look_up
from identity.graph import ABSENT, UNDATED, Graph, Identifiers, Links, Profiles
from identity.normalise import NORMALISERS, facts_of_national_ids, keyed, masked
from identity.rules import NamespaceRule, Rules

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
class Values:
    """The distinct values one namespace delivered: as stored and in clear, and what is wrong with it."""

    namespace: str
    stored: pa.StringArray
    clear: pa.StringArray
    states: np.ndarray
    reasons: np.ndarray
    birth_dates: np.ndarray
    genders: np.ndarray
    row_reasons: np.ndarray  # per observation of the namespace: why it is no identifier, None where it is one


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


@dataclass(frozen=True)
class Hashes:
    """Values of one sensitive namespace, in clear and as stored: what was hashed once need not be hashed again."""

    clear: pa.StringArray
    stored: pa.StringArray


def carried_values(observations: pa.Table, rules: Rules, key: bytes) -> tuple[pa.Table, dict[str, Hashes]]:
    """Give the identifiers that records carry, ``namespace, value, carriers``, and what was hashed for it, by namespace.

    ``value`` is as stored, ``carriers`` the number of records with it; no dictionary is asked or added to.
    """
    usable = observations.filter(pc.equal(observations["role"], "identity"))
    records = _distinct_profiles(usable)
    found = [
        pa.table(
            {
                "namespace": pa.array([], pa.string()),
                "value": pa.array([], pa.string()),
                "carriers": np.zeros(0, dtype=np.int64),
            }
        )
    ]
    hashes: dict[str, Hashes] = {}
    for values, profiles, places, *_ in _judge_all(usable, records, rules, key, {}):
        if values.stored is not values.clear:
            hashes[values.namespace] = Hashes(values.clear, values.stored)
        known = places != ABSENT
        carried, _ = distinct_pairs(places[known], profiles[known])
        size = len(values.stored)
        counts = np.bincount(carried, minlength=size).astype(np.int64)
        found.append(
            pa.table(
                {"namespace": pa.repeat(values.namespace, size), "value": values.stored, "carriers": counts}
            )
        )
    return pa.concat_tables(found), hashes


def observe(
    *,
    customers: pa.Table,
    observations: pa.Table,
    nodes: pa.Table,
    rules: Rules,
    key: bytes,
    business_date: date,
    common: pa.Table | None = None,
    highest: int | None = None,
    hashes: Mapping[str, Hashes] | None = None,
) -> Observed:
    """Give the identity graph of the open rows of customers and observations (columns as in their contracts).

    ``nodes`` is the dictionary so far, or the part of it that these rows may name; ``highest`` its largest number. New
    nodes get ``max + rank`` in the order of (source, source_key), then (namespace, value), so input order never
    matters. ``common`` are the names that are nobody's (``common_names`` of all customers; by default of these),
    ``hashes`` what the key has made of values before (see ``carried_values``).
    """
    profile_rows = _distinct_profiles(customers, observations)
    known = nodes.filter(pc.equal(nodes["kind"], "profile"))
    ids = look_up(
        profile_rows["source"],
        profile_rows["source_key"],
        known["source"],
        known["source_key"],
        known["node_id"],
    )
    if highest is None:
        highest = pc.max(nodes["node_id"]).as_py() or 0
    fresh = ids == ABSENT
    ids[fresh] = highest + 1 + np.arange(int(fresh.sum()))  # the rows are sorted
    new = [_profile_nodes(profile_rows.filter(pa.array(fresh)), ids[fresh], business_date)]
    highest += int(fresh.sum())

    usable = observations.filter(pc.equal(observations["role"], "identity"))
    by_namespace = _judge_all(usable, profile_rows, rules, key, hashes or {})
    namespaces = [values.namespace for values, *_ in by_namespace]

    known = nodes.filter(pc.equal(nodes["kind"], "identifier"))
    builder = _Identifiers(highest, business_date)
    for values, profiles, places, verified, observed in by_namespace:
        builder.add(
            values,
            known.filter(pc.equal(known["namespace"], values.namespace)),
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
        common=common_names(customers, rules) if common is None else common,
    )  # fmt: skip
    births, genders = builder.stated_by_documents(facts.birth_dates, facts.genders)
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
        of_age_on=come_of_age(births[order], business_date, rules.contacts_from_age),
    )
    invalid = _invalid(by_namespace, ids)
    graph = Graph(profiles_graph, identifiers, links, namespaces, days_of(business_date))
    return Observed(
        graph, pa.concat_tables(new), profile_rows.take(pa.array(order)), invalid, facts.kinds[order],
        pa.chunked_array([v.clear for v in builder.values], pa.string()), builder.order,
    )  # fmt: skip


def _distinct_profiles(*tables: pa.Table) -> pa.Table:
    both = pa.concat_tables(
        [
            t.select(["source", "source_key"]).cast(
                pa.schema([("source", pa.string()), ("source_key", pa.string())])
            )
            for t in tables
        ]
    )
    return (
        both.group_by(["source", "source_key"])
        .aggregate([])
        .sort_by([("source", "ascending"), ("source_key", "ascending")])
    )


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


_Judged = tuple[Values, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _judge_all(
    observations: pa.Table, records: pa.Table, rules: Rules, key: bytes, hashes: Mapping[str, Hashes]
) -> list[_Judged]:
    """Judge every namespace that observations name, in the order of names; profiles are places in ``records``."""
    at = look_up(
        observations["source"], observations["source_key"], records["source"], records["source_key"],
        pa.array(np.arange(records.num_rows)),
    )  # fmt: skip
    namespaces = sorted(pc.unique(observations["namespace"]).to_pylist())
    return [_judge(name, observations, at, rules, key, hashes.get(name)) for name in namespaces]


def _judge(
    namespace: str,
    observations: pa.Table,
    at: np.ndarray,
    rules: Rules,
    key: bytes,
    hashes: Hashes | None,
) -> _Judged:
    """Normalise and judge the distinct values of a namespace; give them with (profile, value place, verified, day) per row."""
    mine = pc.equal(observations["namespace"], namespace)
    rows = observations.filter(mine)
    encoded = pc.dictionary_encode(rows["value"].combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    rule = rules.rule(namespace)
    if rule is None:
        size = len(encoded.dictionary)
        # A bare `openid` means another person in every app: without its app it is no identifier.
        reason = "no_app" if f"{namespace}@*" in rules.namespaces else "no_rule"
        canonical, reasons = pa.nulls(size, pa.string()), np.full(size, reason, dtype=object)
    else:
        canonical, told = NORMALISERS[rule.normaliser](encoded.dictionary)
        reasons = np.array(told.to_pylist(), dtype=object)
    if "hash_method" in rows.column_names:
        hashed = pc.is_valid(rows["hash_method"]).to_numpy(zero_copy_only=False)
    else:
        hashed = np.zeros(rows.num_rows, dtype=bool)
    distinct = pc.unique(canonical.drop_null())
    distinct = distinct.take(pc.sort_indices(distinct))  # places in it must not depend on the order of rows
    place = pc.fill_null(pc.index_in(canonical, value_set=distinct), ABSENT).to_numpy().astype(np.int64)
    places = place[np.asarray(encoded.indices)]
    # Hashed values cannot be checked or matched yet: they describe, they do not join.
    places[hashed] = ABSENT
    raw_reasons = reasons[np.asarray(encoded.indices)]
    raw_reasons[hashed] = "hashed"
    states, why = block_states(distinct, rule, rules)
    births, genders = (
        np.full(len(distinct), UNDATED, dtype=np.int32),
        np.full(len(distinct), ABSENT, dtype=np.int8),
    )
    if rule is not None and rule.normaliser == "national_id" and len(distinct):
        births, genders = facts_of_national_ids(distinct)
    stored = _stored(namespace, distinct, key, hashes) if rule is not None and rule.sensitive else distinct
    values = Values(namespace, stored, distinct, states, why, births, genders, raw_reasons)
    verified = pc.fill_null(rows["verified"], False).to_numpy(zero_copy_only=False)
    observed = pc.fill_null(rows["observed_on"].cast(pa.date32()).cast(pa.int32()), int(UNDATED)).to_numpy()
    return values, at[mine.to_numpy(zero_copy_only=False)], places, verified, observed


def _stored(namespace: str, clear: pa.StringArray, key: bytes, hashes: Hashes | None) -> pa.StringArray:
    if hashes is None:
        return keyed(namespace, clear, key)
    at = pc.index_in(clear, value_set=hashes.clear)
    fresh = keyed(namespace, clear.filter(pc.is_null(at)), key)
    return pc.replace_with_mask(hashes.stored.take(at), pc.is_null(at), fresh)


def block_states(
    values: pa.StringArray, rule: NamespaceRule | None, rules: Rules
) -> tuple[np.ndarray, np.ndarray]:
    """Give ``active`` or ``blocked`` per normalised value, and why."""
    states, why = np.full(len(values), "active", dtype=object), np.full(len(values), None, dtype=object)
    if rule is None or not len(values):
        return states, why
    lowered = pc.utf8_lower(values)
    lists = [(values, rule.block), (lowered, rules.block)]
    freed = set(rule.unblock)
    for text, block in lists:
        exact = [v for v in block.exact if v not in freed]
        hit = pc.is_in(text, value_set=pa.array(exact, type=pa.string())).to_numpy(zero_copy_only=False)
        states[hit], why[hit] = "blocked", "placeholder"
        for pattern in block.patterns:
            if pattern not in freed:
                hit = pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)
                states[hit], why[hit] = "blocked", "placeholder"
    if freed:
        spared = pc.is_in(values, value_set=pa.array(sorted(freed), type=pa.string())).to_numpy(
            zero_copy_only=False
        )
        states[spared], why[spared] = "active", None
    return states, why


def _documented(by_namespace: list[_Judged], rules: Rules, size: int) -> np.ndarray:
    """Tell which profiles carry an identity document, well formed or not: their names and dates are legal ones."""
    found = np.zeros(size, dtype=bool)
    for values, profiles, *_ in by_namespace:
        rule = rules.rule(values.namespace)
        if rule is not None and rule.kind == "person":
            found[profiles] = True
    return found


def _invalid(by_namespace: list[_Judged], ids: np.ndarray) -> pa.Table:
    profiles, namespaces, reasons = [], [], []
    for values, rows, places, *_ in by_namespace:
        wrong = np.flatnonzero(places == ABSENT)
        profiles.append(ids[rows[wrong]])
        namespaces += [values.namespace] * len(wrong)
        reasons += values.row_reasons[wrong].tolist()
    joined = np.concatenate(profiles) if profiles else np.zeros(0, dtype=np.int64)
    table = pa.table(
        {
            "profile_id": joined,
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
        known: pa.Table,
        profiles: np.ndarray,
        places: np.ndarray,
        verified: np.ndarray,
        observed: np.ndarray,
    ) -> None:
        at = pc.fill_null(pc.index_in(values.stored, value_set=known["value"]), ABSENT).to_numpy(
            zero_copy_only=False
        )
        ids = np.full(len(values.stored), ABSENT, dtype=np.int64)
        told = known["node_id"].to_numpy()
        ids[at >= 0] = told[at[at >= 0]]
        fresh = np.flatnonzero(ids == ABSENT)
        fresh = fresh[pc.sort_indices(values.stored.take(pa.array(fresh))).to_numpy()]
        ids[fresh] = self.highest + 1 + np.arange(len(fresh))
        self.highest += len(fresh)
        size = len(fresh)
        none = pa.nulls(size, pa.string())
        self.fresh.append(
            pa.table(
                [pa.array(ids[fresh]), _repeated("identifier", size), none, none, _repeated(values.namespace, size),
                 values.stored.take(pa.array(fresh)), masked(values.namespace, values.clear.take(pa.array(fresh))),
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
            pa.chunked_array([v.stored for v in self.values], pa.string())
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
            start += len(values.stored)
            told = values.birth_dates[local] != UNDATED
            order = np.argsort(-local[told], kind="stable")
            births[profiles[told][order]] = values.birth_dates[local][told][order]
            sexes[profiles[told][order]] = values.genders[local][told][order]
        return births, sexes
