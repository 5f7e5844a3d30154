"""Questions of contact, drawn by a seed: segments, people, earlier contacts and rules, small and full of ties."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from segments.contacting.problem import (
    ApartRule,
    CapacityRule,
    CapRule,
    ContactProblem,
    ContactWay,
    SegmentOffer,
)
from segments.contacting.windows import SendWindow

NIGHT = dt.date(2026, 11, 20)
MARKETING = frozenset({"marketing"})
CHANNELS = ("PUSH", "WECHAT", "SMS")
FIRST = 1_000_000_000_001


def window(days: int = 1) -> SendWindow:
    """From nine to nine, so many days after the night."""
    zone = dt.timezone(dt.timedelta(hours=8))
    begin = dt.datetime.combine(NIGHT + dt.timedelta(days=days), dt.time(9), tzinfo=zone)
    return SendWindow(begin, begin + dt.timedelta(hours=12))


def offer(code, people, *, priority=50, ways=CHANNELS, caps=(), value=0.0, **more) -> SegmentOffer:
    """A segment whose ``people`` are OneIDs, all with every way."""
    contact_ways = tuple(w if isinstance(w, ContactWay) else ContactWay(w, None, window()) for w in ways)
    ids = sorted(people)
    rows = pa.table(
        {
            "one_id": pa.array(ids, pa.int64()),
            "ways": pa.array([(1 << len(contact_ways)) - 1] * len(ids), pa.uint8()),
            "value": pa.array([float(value)] * len(ids)),
        }
    )
    return SegmentOffer(code, priority, "marketing", contact_ways, tuple(caps), rows, **more)


def cap(scope, most, days=7, purposes=MARKETING) -> CapRule:
    return CapRule(scope, most, days, purposes)


HISTORY = pa.schema(
    [
        ("one_id", pa.int64()), ("code", pa.string()), ("run_id", pa.string()), ("contact_on", pa.date32()),
        ("channel", pa.string()), ("placement", pa.string()), ("purpose", pa.string()),
    ]
)  # fmt: skip


def history(*rows) -> pa.Table:
    """Earlier contacts, each as (one_id, code, days before the night's contacts, channel) and optionally placement, purpose."""
    every = []
    for one_id, code, days, channel, *rest in rows:
        on = NIGHT + dt.timedelta(days=1 - days)
        placement, purpose = [*rest, None, None][:2]
        every.append((one_id, code, f"{code}-{on}", on, channel, placement, purpose or "marketing"))
    return pa.Table.from_pylist([dict(zip(HISTORY.names, row, strict=True)) for row in every], schema=HISTORY)


def habits(by_person: dict[int, str] | None = None) -> pa.Table:
    people = by_person or {}
    return pa.table(
        {"one_id": pa.array(people, pa.int64()), "channel": pa.array(list(people.values()), pa.string())}
    )


def groups(by_person: dict[int, tuple[str | None, str | None]] | None = None) -> pa.Table:
    people = by_person or {}
    return pa.table(
        {
            "one_id": pa.array(people, pa.int64()),
            "branch": pa.array([branch for branch, _ in people.values()], pa.string()),
            "employee": pa.array([employee for _, employee in people.values()], pa.string()),
        }
    )


def problem(*offers, past=None, habit=None, group=None, apart=(), capacities=()) -> ContactProblem:
    ordered = sorted(offers, key=lambda one: one.code)
    return ContactProblem(
        ordered, past if past is not None else history(), habits(habit), groups(group), apart, capacities
    )


def drawn_problem(seed: int, *, people: int = 12, capacities: bool = False) -> ContactProblem:
    """A question of a few people and segments, in which everything may happen."""
    rng = np.random.default_rng(seed)

    def pick(*values):
        return values[rng.integers(len(values))]

    site = [
        cap(scope, int(rng.integers(0, 4)), int(pick(1, 2, 7, 30)), pick(MARKETING, MARKETING, frozenset({"marketing", "service"})))
        for scope in ("global", "SMS", "banner")
        if rng.random() < 0.7
    ]  # fmt: skip
    offers = []
    for number in range(int(rng.integers(1, 7))):
        channels = rng.permutation(CHANNELS)[: rng.integers(1, 4)]
        ways = tuple(
            ContactWay(str(channel), pick(None, "banner"), pick(window(), window(), window(3), None))
            for channel in channels
        )
        ids = np.flatnonzero(rng.random(people) < 0.7) + FIRST
        rows = pa.table(
            {
                "one_id": ids,
                "ways": rng.integers(1, 1 << len(ways), len(ids)).astype(np.uint8),
                "value": rng.choice([0.0, 0.0, 1.0, 2.5, float("nan"), -3.0], len(ids)),
            }
        )
        own = [cap(pick("global", "PUSH"), int(rng.integers(0, 3)), 7)] if rng.random() < 0.3 else []
        offers.append(
            SegmentOffer(
                f"s{number}", int(pick(10, 50, 50, 90)), pick("marketing", "marketing", "service"), ways,
                tuple(site + own), rows, contacts=int(pick(1, 1, 2)), picks_habit=bool(rng.random() < 0.5),
            )
        )  # fmt: skip
    past = history(
        *(
            (
                FIRST + int(rng.integers(people + 2)),
                f"s{rng.integers(7)}",
                int(rng.integers(-3, 35)),
                pick(*CHANNELS),
                pick(None, "banner"),
                pick("marketing", "service"),
            )
            for _ in range(int(rng.integers(0, 25)))
        )
    )
    apart = (ApartRule(frozenset({"s0", "s1", "s5"}), int(pick(1, 3, 7))),) if rng.random() < 0.5 else ()
    rules = []
    if capacities:
        rules = [
            CapacityRule("SMS", int(rng.integers(0, people))),
            CapacityRule("PUSH", int(rng.integers(0, 4)), "branch", {"b1": int(rng.integers(0, 6))}),
            CapacityRule("WECHAT", int(rng.integers(0, 3)), "employee"),
        ]
    return ContactProblem(
        offers,
        past,
        habits({FIRST + n: pick(*CHANNELS) for n in range(people) if rng.random() < 0.6}),
        groups({FIRST + n: (pick("b1", "b2", None), pick("e1", "e2", "e3", None)) for n in range(people)}),
        apart,
        rules,
    )
