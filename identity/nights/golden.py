"""Golden records: of what the sources of one person say, which one stands, attribute by attribute, and from which record.

A record's statement survives by the rules of ``golden`` in identity.yml: an order of questions (is the record's owner
verified, how far is its source trusted, how recently did it say so, how many records say the same), the first that
tells two statements apart decides, and the key of the record where none does. Null says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.nights.log import rules_as_text
from identity.nights.night import IdentityNight
from identity.nights.write import write_state
from identity.reading.tables import OPEN, qualified
from identity.rules.rules import ATTRIBUTES, GoldenRules, Rules
from lakehouse.query.desk import Desk, Relation
from lakehouse.states.rule import Scope

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

TABLE = "identity.golden_records"
_FIRST = "first_said"
# How, of the records that state what survives, the one is found that is named.
_NAMED_BY = ("verified", "source_priority", _FIRST)


def write_golden_records(lake: Lake, desk: Desk, night: IdentityNight, *, is_full: bool) -> None:
    """Bring the golden records to the map of tonight, in one commit or none; ``desk`` sees that map.

    Only people are looked at whose members, or whose members' records, changed, unless ``is_full``, there is no night to
    begin from, or the rules are others than its.
    """
    documents = _document_namespaces(desk, night.rules)
    people, scope = None, None
    if night.before is not None and not is_full and night.before.rules == rules_as_text(night.rules):
        people = _changed_people(desk, documents)
        scope = Scope("one_id", desk.arrow(f"SELECT one_id FROM {people}")["one_id"].combine_chunks())
    rows = golden_records(_statements(desk, documents, people), night.rules.golden)
    write_state(lake, night, TABLE, rows, scope)


def golden_records(statements: pa.Table, rules: GoldenRules) -> pa.Table:
    """Give one row per ``one_id``: each attribute that somebody states, and ``<attribute>_profile_id`` who does.

    ``statements`` has one row per record (several where several feeds describe it): ``one_id``, ``profile_id``, ``source``,
    ``source_key``, ``_feed``, ``is_verified``, ``valid_from`` and the attributes. Of the records that state what survives, a
    verified one is named, then the most trusted, then the one that said it first: who repeats it changes nothing.
    """
    one_ids, person = np.unique(statements["one_id"].to_numpy(), return_inverse=True)
    questions = _answers(statements, rules.sources)
    columns: dict[str, pa.Array | pa.ChunkedArray | np.ndarray] = {"one_id": one_ids}
    profiles = statements["profile_id"].to_numpy()
    for name in ATTRIBUTES:
        place = np.full(len(one_ids), -1, dtype=np.int64)
        whose = place.copy()
        speaking = np.flatnonzero(pc.is_valid(statements[name]).to_numpy(zero_copy_only=False))
        mine = person[speaking]
        has_several = np.bincount(mine, minlength=len(one_ids))[mine] > 1
        place[mine[~has_several]] = whose[mine[~has_several]] = speaking[~has_several]
        if has_several.any():
            rows = speaking[has_several]
            codes = pc.dictionary_encode(
                statements[name].take(pa.array(rows)).combine_chunks()
            ).indices.to_numpy()
            best = _best(
                person[rows], codes, rules.order_of(name), {n: a[rows] for n, a in questions.items()}
            )
            place[person[rows[best]]] = rows[best]
            surviving_codes = np.zeros(len(one_ids), dtype=np.int64)
            surviving_codes[person[rows[best]]] = codes[best]
            agree = rows[codes == surviving_codes[person[rows]]]
            first = _best(person[agree], agree, _NAMED_BY, {n: a[agree] for n, a in questions.items()})
            whose[person[agree[first]]] = agree[first]
        columns[name] = statements[name].take(pa.array(place, mask=place < 0))
        places = pa.array(whose, mask=whose < 0)
        columns[f"{name}_profile_id"] = pa.array(profiles).take(places)
    return pa.table(columns)


def _answers(statements: pa.Table, sources: Sequence[str]) -> dict[str, np.ndarray]:
    """Give, per question, a number for each record, the smaller the better; ``key`` tells any two apart."""
    place = pc.fill_null(
        pc.index_in(statements["source"], value_set=pa.array(sources, pa.string())), len(sources)
    )
    # Several feeds may describe one record: then the feed ends the order.
    names = ["source", "source_key", "_feed"]
    order = pc.sort_indices(
        statements.select(names), sort_keys=[(name, "ascending") for name in names]
    ).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    days = statements["valid_from"].cast(pa.int32()).to_numpy().astype(np.int64)
    return {
        "verified": (~statements["is_verified"].to_numpy(zero_copy_only=False)).astype(np.int64),
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
    people = person[best]
    return best[np.r_[True, people[1:] != people[:-1]]]


def _changed_people(desk: Desk, documents: Relation) -> Relation:
    """Give ``one_id`` of who lost or gained a record since the night before, or whose records say something else.

    An earlier attempt of the night may have written people whom nothing reaches any more: they are looked at again.
    """
    has_changed = "(valid_from > $before OR valid_to > $before)"
    # Kept by themselves, since DuckDB passes over parts of a file only by what stands in a table.
    records = desk.keep(
        "changed_records", f"SELECT source, source_key FROM trusted.customers WHERE {has_changed}"
    )
    holders = desk.keep(
        "changed_document_holders",
        f"""
        SELECT profile_id FROM identity.links
        WHERE {has_changed} AND namespace IN (SELECT namespace FROM {documents})
        """,
    )
    return desk.keep(
        "changed_people",
        f"""
        SELECT one_id FROM identity.memberships WHERE {has_changed}
        UNION SELECT one_id FROM {TABLE} WHERE {has_changed}
        UNION SELECT one_id FROM identity.memberships SEMI JOIN {holders} USING (profile_id)
        WHERE valid_to IS NULL
        UNION SELECT one_id FROM identity.memberships SEMI JOIN {records} USING (source, source_key)
        WHERE valid_to IS NULL
        """,
    )


def _document_namespaces(desk: Desk, rules: Rules) -> Relation:
    """Give ``namespace`` of the identity documents that records carry."""
    names = desk.arrow("SELECT DISTINCT namespace FROM identity.links")["namespace"].to_pylist()
    kinds = {name: rule.kind for name in names if (rule := rules.rule(name)) is not None}
    documents = [name for name, kind in kinds.items() if kind == "person"]
    return desk.take("document_namespaces", pa.table({"namespace": pa.array(documents, pa.string())}))


def _statements(desk: Desk, documents: Relation, people: Relation | None) -> pa.Table:
    """Give what the records of people say; a record is verified where its source checked a document of its owner."""
    within = f"AND one_id IN (SELECT one_id FROM {people})" if people else ""
    attributes = ", ".join(f"c.{name}" for name in ATTRIBUTES)
    members = desk.keep(
        "members",
        f"SELECT one_id, profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL {within}",
    )
    return desk.arrow(
        f"""
        WITH verified_profiles AS (
          SELECT DISTINCT profile_id FROM identity.links SEMI JOIN {members} USING (profile_id)
          WHERE valid_to IS NULL AND verified AND namespace IN (SELECT namespace FROM {documents})
        )
        SELECT m.one_id, m.profile_id, m.source, m.source_key, c._feed, c.valid_from,
               m.profile_id IN (SELECT profile_id FROM verified_profiles) AS is_verified, {attributes}
        FROM {members} m JOIN trusted.customers c USING (source, source_key)
        WHERE {qualified(OPEN, "c")}
        """
    )
