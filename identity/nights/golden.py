"""Golden records: of what the sources of one person say, which one stands, attribute by attribute, and from which record.

A record's statement survives by the rules of ``golden`` in identity.yml: an order of questions (is the record's owner
verified, how far is its source trusted, how recently did it say so, how many records say the same), the first that
tells two statements apart decides, and the key of the record where none does. Null says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.nights.log import LastNight, rules_as_text
from identity.reading.tables import KNOWN, Tables
from identity.rules.rules import ATTRIBUTES, GoldenRules, Rules
from lakehouse.states.rule import Scope

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

TABLE = "identity.golden_records"
FEED = "identity"
_FIRST = "first_said"
# How, of the records that state what survives, the one is found that is named.
_NAMED_BY = ("verified", "source_priority", _FIRST)


def write_golden_records(
    lake: Lake, tables: Tables, rules: Rules, before: LastNight | None, business_date: date, *, is_full: bool
) -> None:
    """Bring the golden records to the map of tonight, in one commit or none; ``tables`` see that map.

    Only people are looked at whose members, or whose members' records, changed, unless ``is_full``, there is no night to
    begin from, or the rules are others than its.
    """
    is_part = before is not None and not is_full and before.rules == rules_as_text(rules)
    _keep_documents(tables, rules)
    if before is not None and is_part:
        tables.since(before.business_date)
        _changed_people(tables)
    rows = golden_records(_said(tables, only="people" if is_part else None), rules.golden)
    size = rows.num_rows
    rows = rows.append_column("_file", pa.repeat(f"rules {rules.version}", size)).append_column(
        "_row", pa.array(np.zeros(size, dtype=np.int64))
    )
    people = tables.sql("SELECT one_id FROM people")["one_id"].combine_chunks() if is_part else None
    scope = None if people is None else Scope("one_id", people)
    lake.change_states(TABLE, rows, feed=FEED, business_date=business_date, mode="snapshot", scope=scope)


def golden_records(said: pa.Table, rules: GoldenRules) -> pa.Table:
    """Give one row per ``one_id``: each attribute that somebody states, and ``<attribute>_profile_id`` who does.

    ``said`` has one row per record (several where several feeds describe it): ``one_id``, ``profile_id``, ``source``,
    ``source_key``, ``_feed``, ``is_verified``, ``valid_from`` and the attributes. Of the records that state what survives, a
    verified one is named, then the most trusted, then the one that said it first: who repeats it changes nothing.
    """
    one_ids, person = np.unique(said["one_id"].to_numpy(), return_inverse=True)
    questions = _answers(said, rules.sources)
    columns: dict[str, pa.Array | pa.ChunkedArray | np.ndarray] = {"one_id": one_ids}
    profiles = said["profile_id"].to_numpy()
    for name in ATTRIBUTES:
        place = np.full(len(one_ids), -1, dtype=np.int64)
        whose = place.copy()
        stated = np.flatnonzero(pc.is_valid(said[name]).to_numpy(zero_copy_only=False))
        mine = person[stated]
        several = np.bincount(mine, minlength=len(one_ids))[mine] > 1
        place[mine[~several]] = whose[mine[~several]] = stated[~several]
        if several.any():
            rows = stated[several]
            codes = pc.dictionary_encode(said[name].take(pa.array(rows)).combine_chunks()).indices.to_numpy()
            best = _best(
                person[rows], codes, rules.order_of(name), {n: a[rows] for n, a in questions.items()}
            )
            place[person[rows[best]]] = rows[best]
            survived = np.zeros(len(one_ids), dtype=np.int64)
            survived[person[rows[best]]] = codes[best]
            agree = rows[codes == survived[person[rows]]]
            first = _best(person[agree], agree, _NAMED_BY, {n: a[agree] for n, a in questions.items()})
            whose[person[agree[first]]] = agree[first]
        columns[name] = said[name].take(pa.array(place, mask=place < 0))
        known = pa.array(whose, mask=whose < 0)
        columns[f"{name}_profile_id"] = pa.array(profiles).take(known)
    return pa.table(columns)


def _answers(said: pa.Table, sources: Sequence[str]) -> dict[str, np.ndarray]:
    """Give, per question, a number for each record, the smaller the better; ``key`` tells any two apart."""
    place = pc.fill_null(pc.index_in(said["source"], value_set=pa.array(sources, pa.string())), len(sources))
    # Several feeds may describe one record: then the feed ends the order.
    names = ["source", "source_key", "_feed"]
    order = pc.sort_indices(said.select(names), sort_keys=[(name, "ascending") for name in names]).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    days = said["valid_from"].cast(pa.int32()).to_numpy().astype(np.int64)
    return {
        "verified": (~said["is_verified"].to_numpy(zero_copy_only=False)).astype(np.int64),
        "source_priority": place.to_numpy().astype(np.int64),
        "most_recent": -days,
        _FIRST: days,
        "key": rank,
    }


def _best(
    person: np.ndarray, codes: np.ndarray, order: Sequence[str], answers: dict[str, np.ndarray]
) -> np.ndarray:
    """Give the place of the best statement of each person; ``codes`` are equal where statements are."""
    keys = []
    for question in (*order, "key"):
        if question == "most_frequent":
            _, at, counts = np.unique(
                person * (int(codes.max()) + 1) + codes, return_inverse=True, return_counts=True
            )
            keys.append(-counts[at])
        else:
            keys.append(answers[question])
    best = np.lexsort((*reversed(keys), person))
    ordered = person[best]
    return best[np.r_[True, ordered[1:] != ordered[:-1]]]


def _changed_people(tables: Tables) -> None:
    """Keep ``people``: who lost or gained a record since the night before, or whose records say something else.

    An earlier attempt of the night may have written people whom nothing reaches any more: they are looked at again.
    """
    changed = "(valid_from > $before OR valid_to > $before)"
    # Kept by themselves, since DuckDB passes over parts of a file only by what stands in a table.
    tables.keep("changed_records", f"SELECT source, source_key FROM trusted.customers WHERE {changed}")
    tables.keep(
        "changed_documents",
        f"""
        SELECT profile_id FROM identity.links
        WHERE {changed} AND namespace IN (SELECT namespace FROM documents)
        """,
    )
    tables.keep(
        "people",
        f"""
        SELECT one_id FROM identity.memberships WHERE {changed}
        UNION SELECT one_id FROM {TABLE} WHERE {changed}
        UNION SELECT one_id FROM identity.memberships SEMI JOIN changed_documents USING (profile_id)
        WHERE valid_to IS NULL
        UNION SELECT one_id FROM identity.memberships SEMI JOIN changed_records USING (source, source_key)
        WHERE valid_to IS NULL
        """,
    )


def _keep_documents(tables: Tables, rules: Rules) -> None:
    """Keep ``documents``: the namespaces of identity documents that records carry."""
    named = tables.sql("SELECT DISTINCT namespace FROM identity.links")["namespace"].to_pylist()
    kinds = {name: rule.kind for name in named if (rule := rules.rule(name)) is not None}
    documents = [name for name, kind in kinds.items() if kind == "person"]
    tables.take("documents", pa.table({"namespace": pa.array(documents, pa.string())}))


def _said(tables: Tables, *, only: str | None) -> pa.Table:
    """Give what the records of people say; a record is verified where its source checked a document of its owner."""
    within = f"AND one_id IN (SELECT one_id FROM {only})" if only else ""
    attributes = ", ".join(f"c.{name}" for name in ATTRIBUTES)
    tables.keep(
        "members",
        f"SELECT one_id, profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL {within}",
    )
    return tables.sql(
        f"""
        WITH checked AS (
          SELECT DISTINCT profile_id FROM identity.links SEMI JOIN members USING (profile_id)
          WHERE valid_to IS NULL AND verified AND namespace IN (SELECT namespace FROM documents)
        )
        SELECT m.one_id, m.profile_id, m.source, m.source_key, c._feed, c.valid_from,
               m.profile_id IN (SELECT profile_id FROM checked) AS is_verified, {attributes}
        FROM members m JOIN trusted.customers c USING (source, source_key)
        WHERE {KNOWN.replace("valid_", "c.valid_")}
        """
    )
