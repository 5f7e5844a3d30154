"""Numbers of a first night: people get them in the order of their smallest profiles, or back from an attempt that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from identity.nights.kinds import KINDS
from identity.numbering.mint import FIRST_ONE_ID
from lakehouse.contracts.reading import contract

if TYPE_CHECKING:
    from lakehouse.engine import Engine, Rows

# What the tables must not hold, for a night to begin from nothing: a map, numbers or events of another night.
_TRACES = (
    "SELECT count(*) AS n FROM identity.memberships WHERE valid_from <> $day",
    "SELECT count(*) AS n FROM identity.one_ids WHERE last_held_on <> $day",
    "SELECT count(*) AS n FROM identity.lineage_events WHERE happened_on <> $day OR event <> 'CREATE'",
    "SELECT count(*) AS n FROM identity.corrections",
)


@dataclass(frozen=True)
class Numbers:
    """``people`` (``anchor, profiles, kind, one_id``), one row each, and ``minted`` (``anchor, one_id``)."""

    people: Rows
    minted: Rows


def has_traces(engine: Engine) -> bool:
    """Tell whether numbers were given on another night, so that who held them has to be asked."""
    return any(engine.records(sql)[0]["n"] for sql in _TRACES)


def number_first_people(engine: Engine, profiles: Rows) -> Numbers:
    """Give numbers to the people of ``profiles`` (``profile_id, person, kind``); who an earlier attempt numbered keeps that.

    It is what ``identity.numbering`` gives where no map was before: a number is found by the smallest profile of who held it
    last, else of whom it was minted for, else it is minted.
    """
    people = engine.keep(
        "people",
        f"SELECT person AS anchor, count(*) AS profiles, max(kind) AS kind FROM {profiles} GROUP BY person",
    )
    last_held = engine.define(
        "last_held",
        """
        SELECT anchor, one_id FROM (
          SELECT last_profile_id AS anchor, one_id, row_number() OVER (
            PARTITION BY last_profile_id ORDER BY CASE WHEN status = 'active' THEN 0 ELSE 1 END, one_id) AS place
          FROM identity.one_ids WHERE last_profile_id IS NOT NULL) AS r
        WHERE place = 1
        """,
    )
    anchored = engine.define(
        "anchored",
        """
        SELECT anchor_profile_id AS anchor, min(one_id) AS one_id FROM identity.one_ids
        WHERE last_profile_id IS NULL GROUP BY anchor_profile_id
        """,
    )
    holders = engine.keep(
        "people_with_numbers",
        f"""
        SELECT p.anchor, p.profiles, p.kind, coalesce(h.one_id, a.one_id) AS one_id
        FROM {people} p LEFT JOIN {last_held} h ON h.anchor = p.anchor LEFT JOIN {anchored} a ON a.anchor = p.anchor
        """,
    )
    highest = engine.records(
        f"SELECT greatest(coalesce(max(one_id), 0), {FIRST_ONE_ID - 1}) AS n FROM identity.one_ids"
    )
    minted = engine.number(
        "minted",
        f"SELECT anchor FROM {holders} WHERE one_id IS NULL",
        order=("anchor",), name="one_id", after=highest[0]["n"],
    )  # fmt: skip
    numbered = engine.keep(
        "numbered_people",
        f"""
        SELECT p.anchor, p.profiles, p.kind, coalesce(p.one_id, m.one_id) AS one_id
        FROM {holders} p LEFT JOIN {minted} m ON m.anchor = p.anchor
        """,
    )
    counts = engine.records(
        f"SELECT count(*) AS people, count(one_id) AS numbered, count(DISTINCT one_id) AS numbers FROM {numbered}"
    )[0]
    if len(set(counts.values())) != 1:
        raise AssertionError("a person has no OneID or two persons have the same; nothing was written")
    return Numbers(numbered, minted)


def minted_rows(engine: Engine, minted: Rows) -> Rows:
    """Give the rows the dictionary of OneIDs has to gain, before any person is said to have one."""
    return engine.define(
        "minted_rows",
        f"""
        SELECT one_id, anchor AS anchor_profile_id, $day AS created_on, 'anonymous' AS kind, 'retired' AS status,
               CAST(NULL AS BIGINT) AS successor, CAST(0 AS BIGINT) AS profile_count,
               CAST(NULL AS BIGINT) AS last_profile_id, CAST(NULL AS DATE) AS last_held_on
        FROM {minted}
        """,
    )


def dictionary_rows(engine: Engine, numbers: Numbers) -> Rows:
    """Give the dictionary of OneIDs, which has no minted number yet, as it stands when all have theirs; nobody has merged."""
    kinds = " ".join(f"WHEN {rank} THEN '{kind}'" for rank, kind in enumerate(KINDS))
    names = ", ".join(contract("identity.one_ids").columns)
    return engine.keep(
        "one_ids",
        f"""
        SELECT o.one_id, o.anchor_profile_id, o.created_on,
               CASE p.kind {kinds} ELSE o.kind END AS kind,
               CASE WHEN p.one_id IS NULL THEN 'retired' ELSE 'active' END AS status,
               CAST(NULL AS BIGINT) AS successor, coalesce(p.profiles, 0) AS profile_count,
               coalesce(p.anchor, o.last_profile_id) AS last_profile_id,
               CASE WHEN p.one_id IS NULL THEN o.last_held_on ELSE $day END AS last_held_on
        FROM (
          SELECT {names} FROM identity.one_ids UNION ALL
          SELECT {names} FROM {minted_rows(engine, numbers.minted)}) AS o
        LEFT JOIN {numbers.people} p ON p.one_id = o.one_id
        """,
    )
