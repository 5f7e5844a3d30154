"""What a tag may do from one night to the next: bounds of each measure against the tag's own history.

Beyond ``stop`` the night ends, beyond ``look`` it warns. Nothing is judged before three nights of a version are known,
nor for few people; nothing stops on the first night of a month before another month's first night is known. Tags of the
platform's own contacts alone, of which a new platform has none, stop nothing by their distribution in their first month.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp, log
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import Bound
from lakehouse.errors import GateStopped
from lakehouse.gates.gates import Measure, with_threshold
from tags.quality.history import TagHistory, stability_index
from vocabulary.entities import PERSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from tags.quality.sources import Sources
    from vocabulary.registry import Entry

TABLE = PERSON.current
GATE = "tag_quality"
KNOWN_NIGHTS = 3
# What the platform itself began to do moves these: their windows of 30 days fill with the first nights.
OWN_CONTACTS = frozenset({"trusted.receipts"})
FIRST_NIGHTS = 31
# So many people with a value make a share one that chance does not move, and so many an absence that is none of chance.
PEOPLE = 1_000
PEOPLE_ANSWERED = 100
# Of another entity there are few in all, and chance takes none of them away.
ENTITIES_ANSWERED = 10
MOST_NAMED = 10
# How many times the highest figure of the nights before of the same kind is usual.
TIMES = 3


@dataclass(frozen=True)
class TagLimits:
    """From where on a measure is looked at, and from where on it stops a night."""

    look: float
    stop: float


LOST = TagLimits(0.2, 0.5)
PSI = TagLimits(0.1, 0.25)
CHANGED = TagLimits(0.2, 0.5)
AMOUNT = TagLimits(1.3, 1.6)


def add_stability(
    entries: Iterable[Entry], rows: Sequence[dict[str, Any]], history: Mapping[tuple[str, str], TagHistory]
) -> None:
    """Add to the rows of ``quality.tag_quality`` how far each distribution is from the nights before."""
    for entry, row in zip(entries, rows, strict=True):
        past = history.get((entry.code, entry.version))
        row["baseline_nights"] = past.baseline if past else 0
        row["psi"] = None
        if past and past.shares and row["bins"]:
            row["psi"] = round(stability_index(entry, row["bins"], past.shares, past.present), 6)


def tag_measures(
    settings: Settings,
    entries: Iterable[Entry],
    rows: Sequence[Mapping[str, Any]],
    history: Mapping[tuple[str, str], TagHistory],
    tables_of: Mapping[str, Iterable[str]],
) -> list[Measure]:
    """Give the measures of every tag that its history lets judge, with their bounds; ``tables_of`` are the tables each reads.

    ``<code>.lost_ratio`` is the share of answers that are gone, ``<code>.amount_factor`` how many times larger or smaller the
    amounts are, ``<code>.psi`` the stability index, ``<code>.changed_ratio`` the share of people with another value.
    """
    measures = []
    for entry, row in zip(entries, rows, strict=True):
        past = history.get((entry.code, entry.version))
        if past is None or past.nights < KNOWN_NIGHTS or row.get("value_on") not in (None, row["as_of"]):
            continue
        is_filling = past.nights < FIRST_NIGHTS and frozenset(tables_of[entry.code]) == OWN_CONTACTS
        of_tag = [
            _loss(entry, row, past),
            _amount(entry, row, past),
            _psi(row, past, is_filling=is_filling),
            _change(entry, row, past, is_filling=is_filling),
        ]
        measures += [
            _with_own_bound(settings, entry, replace(one, table=entry.about.current))
            for one in of_tag
            if one is not None
        ]
    return measures


def source_measures(
    settings: Settings, entries: Iterable[Entry], sources: Sources, tables_of: Mapping[str, Iterable[str]]
) -> list[Measure]:
    """Give for each table that is delivered how many days it stands still, bound by the tags that read it."""
    measures = []
    for table, days in sorted(sources.frozen_days.items()):
        readers = [entry for entry in entries if table in tables_of[entry.code]]
        most = min(entry.max_staleness_days for entry in readers)
        codes = sorted(entry.code for entry in readers if entry.max_staleness_days < days)
        why = (
            f"it is delivered and nothing new has happened in it for longer than is usual; it is read by {_listing(codes)}"
            if codes
            else "what is delivered every night has something new"
        )
        bound = Bound("frozen_days", "days without new events beyond the usual", why, max=most)
        measures.append(Measure(table, with_threshold(bound, settings, f"{table}.frozen_days"), float(days)))
    return measures


def judge_history(lake: Lake, measures: Sequence[Measure], business_date: dt.date) -> None:
    """Judge and keep the measures; a night that stops raises ``GateStopped`` with the names and figures of what stops it."""
    from lakehouse.gates.gates import check_measures

    try:
        check_measures(lake, GATE, measures, business_date)
    except GateStopped as stopped:
        names = [
            f"{one.table if one.table != TABLE else ''}{': ' if one.table != TABLE else ''}{one.bound.name} {one.value:.3g}"
            for one in measures
            if one.bound.severity == "stop" and one.value is not None and one.value > (one.bound.max or 0)
        ]
        more = f" [all: {_listing(names, MOST_NAMED)}]" if len(names) > 1 else ""
        raise GateStopped(f"{stopped.message}{more}") from None


def _listing(codes: Sequence[str], most: int = 5) -> str:
    more = f" and {len(codes) - most} more" if len(codes) > most else ""
    return ", ".join(codes[:most]) + more


def _with_own_bound(settings: Settings, entry: Entry, one: Measure) -> Measure:
    name = one.bound.name.rpartition(".")[2]
    keys = (f"{one.table}.{entry.code}.{name}", f"{one.table}.{name}")
    return Measure(one.table, with_threshold(one.bound, settings, *keys), one.value)


def _measure(
    code: str, name: str, value: float, limits: TagLimits, why: str, *, may_stop: bool = True
) -> Measure:
    is_look = value > limits.look and not (may_stop and value > limits.stop)
    bound = Bound(
        f"{code}.{name}",
        "tags.quality.judging",
        why,
        max=limits.look if is_look else limits.stop,
        severity="warn" if is_look else "stop",
    )
    return Measure(TABLE, bound, value)


def _loss(entry: Entry, row: Mapping[str, Any], past: TagHistory) -> Measure | None:
    """Judge how many of the people who had an answer, or a value, have none any more.

    Where a tag states its population, so many of it are expected to have an answer as on the nights before by share: who
    comes into the population without one is missed, though nobody lost anything.
    """
    least = PEOPLE_ANSWERED if entry.about == PERSON else ENTITIES_ANSWERED
    now_filled, plural = row["filled_count"], entry.about.plural
    losses = [
        (
            before,
            now,
            f"{now:,.0f} {plural} have an answer and {before:,.0f} had one {_nights(past)}",
        )
        for before, now in ((past.filled, now_filled), (past.present, row["value_count"]))
    ]
    if entry.population is not None and past.coverage is not None:
        why = (
            f"{now_filled:,.0f} of {row['eligible_count']:,} {plural} of its population have an answer, and "
            f"{100 * past.coverage:.1f} % of it had one {_nights(past)}"
        )
        losses.append((past.coverage * row["eligible_count"], now_filled, why))
    losses = [one for one in losses if one[0] >= least]
    if not losses:
        return None
    before, now, why = max(losses, key=lambda one: 1 - one[1] / one[0])
    loss = max(0.0, 1 - now / before)
    may_stop = not past.is_turn or now == 0
    return _measure(row["tag"], "lost_ratio", loss, LOST, why, may_stop=may_stop)


def _amount(entry: Entry, row: Mapping[str, Any], past: TagHistory) -> Measure | None:
    """Judge amounts by the least of how many times their mean and their quantiles are larger or smaller.

    One rich person moves the mean, and many small amounts the quantiles; what moves all of them is another unit, or twice
    the same.
    """
    if entry.value.type != "decimal" or min(row["value_count"], past.present) < PEOPLE:
        return None
    if not past.mean or not past.quantiles or not row["quantiles"]:
        return None
    pairs = [(past.mean, float(row["total"]) / row["value_count"])]
    pairs += [pair for pair in zip(past.quantiles, row["quantiles"], strict=True) if any(pair)]
    factors = [_factor(before, now) for before, now in pairs]
    least = min(factors, key=lambda factor: abs(log(factor)))
    before, now = pairs[0]
    why = f"the mean is {now:,.2f} and was {before:,.2f} {_nights(past)}; the quantiles moved alike"
    return _measure(row["tag"], "amount_factor", exp(abs(log(least))), AMOUNT, why, may_stop=not past.is_turn)


def _factor(before: float, now: float) -> float:
    if before * now <= 0:
        return 100.0
    return now / before


def _psi(row: Mapping[str, Any], past: TagHistory, *, is_filling: bool) -> Measure | None:
    if row["psi"] is None or min(row["value_count"], past.present) < PEOPLE:
        return None
    limits, may_stop = _usual(PSI, past, past.psi_before)
    why = f"its values are distributed otherwise than {_nights(past)}" + _highest(past.psi_before)
    return _measure(row["tag"], "psi", row["psi"], limits, why, may_stop=may_stop and not is_filling)


def _change(entry: Entry, row: Mapping[str, Any], past: TagHistory, *, is_filling: bool) -> Measure | None:
    if row["changed_ratio"] is None or row["compared_count"] < PEOPLE or past.changed_before is None:
        return None
    limits, may_stop = _usual(CHANGED, past, past.changed_before)
    if limits.look >= 1:
        return None
    why = f"{row['changed_count']:,} of {row['compared_count']:,} {entry.about.plural} have another value"
    why += _highest(past.changed_before)
    may_stop = may_stop and not is_filling
    return _measure(row["tag"], "changed_ratio", float(row["changed_ratio"]), limits, why, may_stop=may_stop)


def _usual(limits: TagLimits, past: TagHistory, before: float | None) -> tuple[TagLimits, bool]:
    """Give limits that let pass what is usual on nights of this kind, and whether enough of these are known to stop one."""
    usual = TIMES * (before or 0.0)
    return TagLimits(max(limits.look, usual), max(limits.stop, usual)), not past.is_turn or before is not None


def _nights(past: TagHistory) -> str:
    return "on the night before" if past.baseline == 1 else f"on the {past.baseline} nights before (median)"


def _highest(before: float | None) -> str:
    return "" if before is None else f"; at most {before:.3g} on nights before"
