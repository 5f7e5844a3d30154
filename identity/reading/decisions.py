"""Decisions of people that two profiles are, or are not, one person: stored for good, replayed every night, revocable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.reading.graph import ABSENT, DecisionPairs
from lakehouse.errors import UsageError
from lakehouse.query.hashing import text_hash
from lakehouse.settings.yaml_files import did_you_mean, nearest

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

TABLE = "identity.decisions"
Kind = Literal["must_link", "cannot_link"]
Profile = tuple[str, str]


@dataclass(frozen=True)
class PairDecision:
    """One decision in force; ``a`` and ``b`` are (source, source_key)."""

    decision_id: str
    kind: Kind
    a: Profile
    b: Profile


def decisions_of(rows: Iterable[dict[str, Any]], *, with_revoked: bool = False) -> list[PairDecision]:
    """Give the decisions of the log, oldest first; a revoked one is not in force."""
    log = sorted(rows, key=lambda row: (row["decided_at"], row["decision_id"]))
    revoked = set() if with_revoked else {row["revokes"] for row in log if row["kind"] == "revoke"}
    return [
        PairDecision(
            row["decision_id"],
            row["kind"],
            (row["source_a"], row["source_key_a"]),
            (row["source_b"], row["source_key_b"]),
        )
        for row in log
        if row["kind"] != "revoke" and row["decision_id"] not in revoked
    ]


def decision_pairs(decisions: Sequence[PairDecision], profiles: pa.Table) -> DecisionPairs:
    """Give decisions as pairs of places; ``profiles`` has source and source_key in the order of places.

    A decision about a profile that is not there waits until it is.
    """
    if not decisions:
        return DecisionPairs()
    ends = [end for decision in decisions for end in (decision.a, decision.b)]
    places: dict[Profile, int] = {}
    for source in {source for source, _ in ends}:
        keys = pa.array(sorted({key for name, key in ends if name == source}), pa.string())
        mine = np.flatnonzero(pc.equal(profiles["source"], source).to_numpy(zero_copy_only=False))
        at = pc.index_in(keys, value_set=profiles["source_key"].take(pa.array(mine)))
        for key, place in zip(keys.to_pylist(), at.to_pylist(), strict=True):
            places[(source, key)] = ABSENT if place is None else int(mine[place])
    pairs: dict[str, list[tuple[int, int, str]]] = {"must_link": [], "cannot_link": []}
    for decision in decisions:
        a, b = places[decision.a], places[decision.b]
        if ABSENT not in (a, b):
            pairs[decision.kind].append((a, b, decision.decision_id))

    def column(kind: str, place: int) -> np.ndarray:
        return np.array([pair[place] for pair in pairs[kind]], dtype=np.int64)

    return DecisionPairs(
        column("must_link", 0), column("must_link", 1), tuple(pair[2] for pair in pairs["must_link"]),
        column("cannot_link", 0), column("cannot_link", 1), tuple(pair[2] for pair in pairs["cannot_link"]),
    )  # fmt: skip


def decide(
    lake: Lake, kind: Kind, a: str, b: str, *, author: str, reason: str, decided_at: datetime
) -> PairDecision:
    """Append a decision about two profiles (``source/key``) and give it; it holds from the next night that is run.

    A decision about a record that is not there waits until it is (``waits``). One profile twice, a source that is known under
    a like name, the same decision again, or the opposite of one in force raise ``UsageError``.
    """
    one, other = sorted((_profile(a), _profile(b)))
    if one == other:
        raise UsageError("a decision needs two different profiles")
    _check_words(author, reason)
    _check_sources(lake, (one, other))
    for earlier in decisions_of(_rows(lake)):
        if {earlier.a, earlier.b} != {one, other}:
            continue
        if earlier.kind == kind:
            raise UsageError(f"decision {earlier.decision_id} says so already")
        raise UsageError(
            f"decision {earlier.decision_id} says the opposite: revoke it first with "
            f"`cdp identity decide revoke {earlier.decision_id} --reason … --author …`"
        )
    decision = PairDecision(_decision_id(kind, *one, *other, author, decided_at, reason), kind, one, other)
    row = {"source_a": one[0], "source_key_a": one[1], "source_b": other[0], "source_key_b": other[1]}
    _append(lake, decision.decision_id, kind, author, decided_at, reason, row)
    return decision


def revoke(lake: Lake, decision_id: str, *, author: str, reason: str, decided_at: datetime) -> str:
    """Take a decision back, by another; give the id of that. One that is not in force raises ``UsageError``."""
    _check_words(author, reason)
    in_force = [decision.decision_id for decision in decisions_of(_rows(lake))]
    if decision_id not in in_force:
        raise UsageError(f"no decision '{decision_id}' is in force{did_you_mean(decision_id, in_force)}")
    revocation = _decision_id("revoke", decision_id, author, decided_at, reason)
    _append(lake, revocation, "revoke", author, decided_at, reason, {"revokes": decision_id})
    return revocation


def _decision_id(*parts: object) -> str:
    return text_hash(*parts)[:12]


def _append(
    lake: Lake,
    decision_id: str,
    kind: str,
    author: str,
    decided_at: datetime,
    reason: str,
    more: dict[str, str],
) -> None:
    row = {
        "decision_id": decision_id,
        "kind": kind,
        "author": author,
        "decided_at": decided_at,
        "reason": reason,
    }
    lake.append_rows(TABLE, [row | more])


def _rows(lake: Lake) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read_arrow(TABLE).to_pylist()
    return rows


def _check_words(author: str, reason: str) -> None:
    if not author.strip() or not reason.strip():
        raise UsageError("a decision needs an author and a reason that somebody can read years later")


def _profile(text: str) -> Profile:
    source, slash, key = text.partition("/")
    if not slash or not source or not key:
        raise UsageError(f"write a profile as source/key, not '{text}'")
    return source, key


def waits(lake: Lake, decision: PairDecision) -> bool:
    """Tell whether a decision waits for a record that no night has met yet."""
    rows = _known_profiles(lake)
    for source, key in (decision.a, decision.b):
        mine = rows.filter(pc.equal(rows["source"], source))
        if not pc.any(pc.equal(mine["source_key"], key), min_count=0).as_py():
            return True
    return False


def _known_profiles(lake: Lake) -> pa.Table:
    rows = lake.read_arrow("identity.nodes", columns=["kind", "source", "source_key"])
    return rows.filter(pc.equal(rows["kind"], "profile"))


def _check_sources(lake: Lake, profiles: Iterable[Profile]) -> None:
    """Refuse a source that is most likely another one's name mistyped; one that is like no other may come yet."""
    sources = sorted(set(pc.unique(_known_profiles(lake)["source"]).to_pylist()))
    for source, _ in profiles:
        if source not in sources and nearest(source, sources):
            raise UsageError(f"no profile of source '{source}' is known{did_you_mean(source, sources)}")
