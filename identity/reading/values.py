"""From delivered observations to identifiers: every namespace's distinct values normalised, judged and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components.arrays import distinct_pairs
from identity.reading.facts import look_up
from identity.reading.graph import ABSENT, UNDATED
from identity.rules.normalise import NORMALISERS, facts_of_national_ids, keyed
from identity.rules.rules import NamespaceRule, Rules


@dataclass(frozen=True)
class Values:
    """The distinct values one namespace delivered: as stored and in clear, and what is wrong with it."""

    namespace: str
    dictionary_values: pa.StringArray
    clear: pa.StringArray
    states: np.ndarray
    reasons: np.ndarray
    birth_dates: np.ndarray
    genders: np.ndarray
    row_reasons: np.ndarray  # per observation of the namespace: why it is no identifier, None where it is one


@dataclass(frozen=True)
class KeyedHashes:
    """Values of one sensitive namespace, in clear and as stored: what was hashed once need not be hashed again."""

    clear: pa.StringArray
    dictionary_values: pa.StringArray


JudgedRows = tuple[Values, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def carried_values(
    observations: pa.Table, rules: Rules, key: bytes
) -> tuple[pa.Table, dict[str, KeyedHashes]]:
    """Give the identifiers that records carry, ``namespace, value, carriers``, and what was hashed for it, by namespace.

    ``value`` is as stored, ``carriers`` the number of records with it; no dictionary is asked or added to.
    """
    usable = observations.filter(pc.equal(observations["role"], "identity"))
    records = distinct_records(usable)
    tables = [
        pa.table(
            {
                "namespace": pa.array([], pa.string()),
                "value": pa.array([], pa.string()),
                "carriers": np.zeros(0, dtype=np.int64),
            }
        )
    ]
    hashes: dict[str, KeyedHashes] = {}
    for values, profiles, places, *_ in judge_all(usable, records, rules, key, {}):
        if values.dictionary_values is not values.clear:
            hashes[values.namespace] = KeyedHashes(values.clear, values.dictionary_values)
        is_value = places != ABSENT
        values_of_pairs, _ = distinct_pairs(places[is_value], profiles[is_value])
        size = len(values.dictionary_values)
        counts = np.bincount(values_of_pairs, minlength=size).astype(np.int64)
        tables.append(
            pa.table(
                {
                    "namespace": pa.repeat(values.namespace, size),
                    "value": values.dictionary_values,
                    "carriers": counts,
                }
            )
        )
    return pa.concat_tables(tables), hashes


def judge_all(
    observations: pa.Table, records: pa.Table, rules: Rules, key: bytes, hashes: Mapping[str, KeyedHashes]
) -> list[JudgedRows]:
    """Judge every namespace that observations name, in the order of names; profiles are places in ``records``."""
    at = look_up(
        observations["source"], observations["source_key"], records["source"], records["source_key"],
        pa.array(np.arange(records.num_rows)),
    )  # fmt: skip
    namespaces = sorted(pc.unique(observations["namespace"]).to_pylist())
    return [_judge(name, observations, at, rules, key, hashes.get(name)) for name in namespaces]


def distinct_records(*tables: pa.Table) -> pa.Table:
    """Give the (source, source_key) that tables name, each once, sorted."""
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


def _judge(
    namespace: str,
    observations: pa.Table,
    at: np.ndarray,
    rules: Rules,
    key: bytes,
    hashes: KeyedHashes | None,
) -> JudgedRows:
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
        canonical, why_not = NORMALISERS[rule.normaliser](encoded.dictionary)
        reasons = np.array(why_not.to_pylist(), dtype=object)
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
    dictionary_values = (
        _dictionary_values(namespace, distinct, key, hashes)
        if rule is not None and rule.sensitive
        else distinct
    )
    values = Values(namespace, dictionary_values, distinct, states, why, births, genders, raw_reasons)
    verified = pc.fill_null(rows["verified"], False).to_numpy(zero_copy_only=False)
    observed = pc.fill_null(rows["observed_on"].cast(pa.date32()).cast(pa.int32()), int(UNDATED)).to_numpy()
    return values, at[mine.to_numpy(zero_copy_only=False)], places, verified, observed


def _dictionary_values(
    namespace: str, clear: pa.StringArray, key: bytes, hashes: KeyedHashes | None
) -> pa.StringArray:
    if hashes is None:
        return keyed(namespace, clear, key)
    at = pc.index_in(clear, value_set=hashes.clear)
    fresh = keyed(namespace, clear.filter(pc.is_null(at)), key)
    return pc.replace_with_mask(hashes.dictionary_values.take(at), pc.is_null(at), fresh)


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
