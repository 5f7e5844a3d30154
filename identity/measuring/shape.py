"""What can be measured without a truth: how large people are, how densely their records hang together, by what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from identity.rules.rules import Rules
from lakehouse.query.words import literals

if TYPE_CHECKING:
    from lakehouse.query.published import Published

_SIZES = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, None))


def shape_of(published: Published, rules: Rules) -> dict[str, Any]:
    """Give people by size, ``density`` and ``deterministic_ratio`` of the published map.

    Density is the share of pairs of one person's records that carry a common identifier which joins (1: everything is
    said directly, low: chains), over all people of several records. ``deterministic_ratio`` is the share of records of
    such people that documents and accounts alone hold to another record.
    """
    sizes = dict(
        published.sql(
            """
            SELECT n, count(*) FROM (
              SELECT one_id, count(*) AS n FROM identity.memberships WHERE valid_to IS NULL GROUP BY one_id)
            GROUP BY n
            """
        ).fetchall()
    )
    histogram = {
        (str(low) if low == high else f"{low}-{high}" if high else f"{low}+"): sum(
            n for size, n in sizes.items() if size >= low and (high is None or size <= high)
        )
        for low, high in _SIZES
    }
    namespaces = [row[0] for row in published.sql("SELECT DISTINCT namespace FROM identity.links").fetchall()]
    strong = [n for n, tier in zip(namespaces, rules.tiers_of(namespaces), strict=True) if tier == 0]
    pairs, in_pairs, in_strong_pairs = published.sql(
        """
        WITH carried AS (
          SELECT m.one_id, l.profile_id, l.identifier_id, list_contains($strong, l.namespace) AS is_strong
          FROM identity.links l JOIN identity.memberships m ON m.profile_id = l.profile_id AND m.valid_to IS NULL
          WHERE l.valid_to IS NULL AND l.status IN ('active', 'corroborated')
        ), met AS (
          SELECT a.profile_id AS one, b.profile_id AS other, bool_or(a.is_strong) AS is_strong
          FROM carried a JOIN carried b ON a.one_id = b.one_id AND a.identifier_id = b.identifier_id
            AND a.profile_id < b.profile_id GROUP BY ALL
        ), ends AS (
          SELECT one AS profile_id, is_strong FROM met UNION ALL SELECT other, is_strong FROM met
        )
        SELECT (SELECT count(*) FROM met), count(DISTINCT profile_id),
               count(DISTINCT profile_id) FILTER (WHERE is_strong) FROM ends
        """.replace("$strong", f"[{literals(sorted(strong))}]::VARCHAR[]")
    ).fetchall()[0]
    possible = sum(n * size * (size - 1) // 2 for size, n in sizes.items())
    return {
        "people_by_profiles": histogram,
        "density": round(pairs / possible, 6) if possible else 1.0,
        "deterministic_ratio": round(in_strong_pairs / in_pairs, 6) if in_pairs else 1.0,
    }


def night_of(published: Published) -> dict[str, Any]:
    """Give what the published night says of itself: violations, and who moved since the night before, by cause."""
    if "identity.nights" not in published.publication.tables:
        return {}
    columns = (
        "mode",
        "touched_profiles",
        "violations",
        "largest_growth",
        "known_profiles",
        "moved",
        "moved_quietly",
        "moved_untouched",
    )
    rows = published.sql(
        f"SELECT {', '.join(columns)} FROM identity.nights ORDER BY _arrived_on DESC LIMIT 1"
    ).fetchall()
    if not rows:
        return {}
    facts = dict(zip(columns, rows[0], strict=True))
    moves = json.loads(facts.pop("moved"))
    profiles_before = facts["known_profiles"]
    facts["moved_ratio_by_cause"] = {
        cause: round(n / profiles_before, 6) if profiles_before else 0.0 for cause, n in moves.items()
    }
    return facts
