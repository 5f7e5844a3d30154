"""Arbitration said in plain Python, person by person, from the text of the documentation: what the arrays must agree with."""

from __future__ import annotations

import math
from hashlib import sha256

MASK = (1 << 64) - 1


def tie(code: str, one_id: int) -> int:
    """The salted hash of a person for a segment: SplitMix64's finaliser, its highest 22 bits."""
    x = one_id ^ int.from_bytes(sha256(f"contact:{code}".encode()).digest()[:8], "big")
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return (x ^ (x >> 31)) >> 42


def decide(problem) -> dict[tuple[str, int], tuple]:
    """For each candidacy (code, one_id): ("contact", channel) or ("loss", reason, rule, winner, winner_run_id)."""
    people: dict[int, list] = {}
    for code, one_id in in_order(problem):
        offer = next(one for one in problem.offers if one.code == code)
        ways = next(row["ways"] for row in offer.rows.to_pylist() if row["one_id"] == one_id)
        people.setdefault(one_id, []).append((offer, ways))
    habits = {row["one_id"]: row["channel"] for row in problem.habits.to_pylist()}
    answers = {}
    for one_id, candidacies in people.items():
        history = [row for row in problem.history.to_pylist() if row["one_id"] == one_id]
        contacts: list = []
        for offer, ways in candidacies:
            usable = [w for n, w in enumerate(offer.ways) if ways >> n & 1 and w.window is not None]
            if offer.picks_habit:
                usable.sort(key=lambda w: w.channel != habits.get(one_id))
            verdicts = [closed_by(problem, offer, way, history, contacts) for way in usable]
            free = [way for way, verdict in zip(usable, verdicts, strict=True) if verdict is None]
            if free:
                contacts.append((offer, free[0]))
                answers[offer.code, one_id] = ("contact", free[0].channel)
            elif verdicts:
                answers[offer.code, one_id] = ("loss", *verdicts[0])
            else:
                answers[offer.code, one_id] = ("loss", "QUIET_DROPPED", "quiet", None, None)
    return answers


def in_order(problem) -> list[tuple[str, int]]:
    """Every candidacy (code, one_id), the highest score first."""
    values = [row["value"] for offer in problem.offers for row in offer.rows.to_pylist()]
    highest = max((v for v in values if not math.isnan(v)), default=0.0)
    scale = 1.0
    while highest >= scale:
        scale *= 2
    while highest > 0 and highest < scale / 2:
        scale /= 2
    every = []
    for number, offer in enumerate(problem.offers):
        for row in offer.rows.to_pylist():
            value = 0.0 if math.isnan(row["value"]) else max(row["value"], 0.0)
            grade = math.floor(value / scale * 2**24)
            every.append(
                (-offer.priority, -grade, -tie(offer.code, row["one_id"]), number, offer.code, row["one_id"])
            )
    return [one[4:] for one in sorted(every)]


def closed_by(problem, offer, way, history, contacts):
    """The first rule that closes a way: reason, rule, the segment and the earlier run that won; None where none does."""
    for cap in offer.caps:
        if not in_scope(cap.scope, way.channel, way.placement):
            continue
        total = offer.contacts + sum(
            row["purpose"] in cap.purposes
            and in_scope(cap.scope, row["channel"], row["placement"])
            and (way.window.day - row["contact_on"]).days < cap.days
            for row in history
        )
        if total > cap.max:
            return "CAPPED", cap.name, None, None
        for other, other_way in contacts:
            is_near = (way.window.day - other_way.window.day).days < cap.days
            if (
                is_near
                and other.purpose in cap.purposes
                and in_scope(cap.scope, other_way.channel, other_way.placement)
            ):
                total += other.contacts
                if total > cap.max:
                    return "LOST_ARBITRATION", cap.name, other.code, None
    pairs = {}
    for rule in problem.apart:
        if offer.code in rule.segments:
            for code in rule.segments - {offer.code}:
                pairs[code] = max(pairs.get(code, 0), rule.days)
    for code, days in sorted(pairs.items()):
        runs = [
            (row["contact_on"], row["run_id"])
            for row in history
            if row["code"] == code and (way.window.day - row["contact_on"]).days < days
        ]
        if runs:
            return "LOST_ARBITRATION", f"never_together:{code}", None, max(runs)[1]
        for other, other_way in contacts:
            if other.code == code and abs((way.window.day - other_way.window.day).days) < days:
                return "LOST_ARBITRATION", f"never_together:{code}", code, None
    return None


def in_scope(scope: str, channel: str, placement: str | None) -> bool:
    return scope in ("global", channel) or (placement is not None and scope == placement)
