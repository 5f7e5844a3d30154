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
    """For each candidacy (code, one_id): ("contact", channel) or ("loss", reason, rule, winner, winner_run_id, winner_contact_on, advantage)."""
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
            verdicts = [closed_by(problem, one_id, offer, way, history, contacts) for way in usable]
            free = [way for way, verdict in zip(usable, verdicts, strict=True) if verdict is None]
            if free:
                contacts.append((offer, free[0]))
                answers[offer.code, one_id] = ("contact", free[0].channel)
            elif verdicts:
                answers[offer.code, one_id] = ("loss", *verdicts[0])
            else:
                answers[offer.code, one_id] = ("loss", "QUIET_DROPPED", "quiet", None, None, None, None)
    return answers


def in_order(problem) -> list[tuple[str, int]]:
    """Every candidacy (code, one_id), the highest score first."""
    every = []
    for number, offer in enumerate(problem.offers):
        grades = grades_of(problem, offer)
        for one_id in offer.rows["one_id"].to_pylist():
            every.append(
                (-offer.priority, -grades[one_id], -tie(offer.code, one_id), number, offer.code, one_id)
            )
    return [one[4:] for one in sorted(every)]


def grades_of(problem, offer) -> dict[int, int]:
    """The expected value of each person of an offer, in steps of which the night's highest has at most 2**24."""
    values = [row["value"] for one in problem.offers for row in one.rows.to_pylist()]
    highest = max((v for v in values if not math.isnan(v)), default=0.0)
    scale = 1.0
    while highest >= scale:
        scale *= 2
    while highest > 0 and highest < scale / 2:
        scale /= 2
    return {
        row["one_id"]: math.floor(
            (0.0 if math.isnan(row["value"]) else max(row["value"], 0.0)) / scale * 2**24
        )
        for row in offer.rows.to_pylist()
    }


def advantage(problem, one_id, winner, loser) -> str:
    """By what one segment is before another for a person."""
    own, other = ((o.priority, grades_of(problem, o)[one_id]) for o in (loser, winner))
    if other < own:
        return "PRICE"
    if other[0] > own[0]:
        return "PRIORITY"
    return "EXPECTED_VALUE" if other[1] > own[1] else "HASH"


def newest(rows) -> tuple:
    """The newest earlier contact of some: its segment, run and day, and what its advantage is; nothing of none."""
    if not rows:
        return None, None, None, None
    row = max(rows, key=lambda row: (row["contact_on"], row["run_id"]))
    return row["code"], row["run_id"], row["contact_on"], "EARLIER_CONTACT"


def closed_by(problem, one_id, offer, way, history, contacts):
    """The first rule that closes a way: reason, rule, the segment that won with run and day, if earlier, and by what; None where none does."""
    for cap in offer.caps:
        if not in_scope(cap.scope, way.channel, way.placement):
            continue
        past = [
            row
            for row in history
            if row["purpose"] in cap.purposes
            and in_scope(cap.scope, row["channel"], row["placement"])
            and (way.window.day - row["contact_on"]).days < cap.days
        ]
        total = offer.contacts + len(past)
        if total > cap.max:
            return "CAPPED", cap.name, *newest(past)
        for other, other_way in contacts:
            is_near = (way.window.day - other_way.window.day).days < cap.days
            if (
                is_near
                and other.purpose in cap.purposes
                and in_scope(cap.scope, other_way.channel, other_way.placement)
            ):
                total += other.contacts
                if total > cap.max:
                    by = advantage(problem, one_id, other, offer)
                    return "LOST_ARBITRATION", cap.name, other.code, None, None, by
    pairs = {}
    for rule in problem.apart:
        if offer.code in rule.segments:
            for code in rule.segments - {offer.code}:
                pairs[code] = max(pairs.get(code, 0), rule.days)
    for code, days in sorted(pairs.items()):
        past = [
            row for row in history if row["code"] == code and (way.window.day - row["contact_on"]).days < days
        ]
        if past:
            return "LOST_ARBITRATION", f"never_together:{code}", *newest(past)
        for other, other_way in contacts:
            if other.code == code and abs((way.window.day - other_way.window.day).days) < days:
                by = advantage(problem, one_id, other, offer)
                return "LOST_ARBITRATION", f"never_together:{code}", code, None, None, by
    return None


def in_scope(scope: str, channel: str, placement: str | None) -> bool:
    return scope in ("global", channel) or (placement is not None and scope == placement)
