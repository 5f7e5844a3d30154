"""What one would use instead, on the same records and identifiers: plain connected components, average linkage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from identity.components.union_find import components
from identity.measuring.evaluate import Measures, evaluate
from identity.rules.rules import Rules

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.query.published import Published

# Average linkage needs a matrix of all pairs of a component: larger ones stay whole, and are counted.
_MOST_PROFILES = 2_000
# Two clusters join where their records share, on average, at least as much evidence as a phone is.
_JOINS_AT = 60.0


def baselines(
    published: Published, rules: Rules, truth: Path | pa.Table, *, allow_missing: bool
) -> dict[str, dict[str, Any]]:
    """Measure both baselines on a publication's profiles and open links of joining namespaces, blocked ones left out."""
    profiles = published.sql(
        "SELECT profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL ORDER BY profile_id"
    ).fetchnumpy()
    links = published.sql(
        """
        SELECT l.profile_id, l.identifier_id, l.namespace FROM identity.links l
        LEFT JOIN identity.node_states s ON s.node_id = l.identifier_id AND s.valid_to IS NULL AND s.state = 'blocked'
        WHERE l.valid_to IS NULL AND s.node_id IS NULL ORDER BY l.profile_id, l.identifier_id
        """
    ).fetchnumpy()
    names = links["namespace"].tolist()
    namespaces = sorted(set(names))
    tiers = dict(zip(namespaces, rules.tiers_of(namespaces), strict=True))
    joins = np.array([tiers[name] >= 0 for name in names], dtype=bool)
    strength = np.array([getattr(rules.rule(name), "strength", 0) for name in names], dtype=float)[joins]
    ids = np.asarray(profiles["profile_id"])
    one = np.searchsorted(ids, np.asarray(links["profile_id"])[joins])
    values, other = np.unique(np.asarray(links["identifier_id"])[joins], return_inverse=True)
    plain = components(one, other + len(ids), len(ids) + len(values))[: len(ids)]
    linked, left_whole = average_linkage(plain, one, other, strength)

    def measures_of(labels: np.ndarray) -> Measures:
        rows = pa.table(
            {name: pa.array(profiles[name].tolist(), pa.string()) for name in ("source", "source_key")}
            | {"one_id": labels.astype(np.int64)}
        )
        return evaluate(rows, truth, allow_missing=allow_missing)

    return {
        "connected_components": measures_of(plain).summary(),
        "average_linkage": measures_of(linked).summary() | {"components_left_whole": left_whole},
    }


def average_linkage(
    components_of: np.ndarray, profiles: np.ndarray, values: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, int]:
    """Cluster each component's profiles by the strength of the values two of them share (places, one per link).

    Gives a label per profile and how many components were too large for it.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    labels = components_of.copy()
    order = np.argsort(components_of, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(components_of[order]) > 0])
    by_profile = np.argsort(profiles, kind="stable")
    firsts = np.searchsorted(profiles[by_profile], np.arange(len(components_of) + 1))
    left_whole = 0
    for start, stop in zip(starts, np.r_[starts[1:], len(order)], strict=True):
        members = order[start:stop]
        if len(members) < 3:
            continue
        if len(members) > _MOST_PROFILES:
            left_whole += 1
            continue
        carriers: dict[int, list[int]] = {}
        weight: dict[int, float] = {}
        for place, member in enumerate(members.tolist()):
            for link in by_profile[firsts[member] : firsts[member + 1]].tolist():
                carriers.setdefault(int(values[link]), []).append(place)
                weight[int(values[link])] = float(strength[link])
        shared = np.zeros((len(members), len(members)))
        for value, places in carriers.items():
            shared[np.ix_(places, places)] += weight[value]
        far = np.maximum(0.0, 1.0 - shared / (2 * _JOINS_AT))
        np.fill_diagonal(far, 0.0)
        tree = linkage(squareform(far, checks=False), method="average")
        clusters = fcluster(tree, t=0.5, criterion="distance")
        for cluster in np.unique(clusters).tolist():
            inside = members[clusters == cluster]
            labels[inside] = inside.min()
    return labels, left_whole
