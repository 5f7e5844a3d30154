"""Whom one may contact still: a run that stands loses everybody whom suppression keeps out by now, a directory has nobody else's address.

An ordinary night replaces each audience by a new one, whose delta takes people out. This is for the audiences that no segment of
the workspace replaces any more, or not that night; and for those that are recalled, which everybody leaves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.query.desk import open_alone
from lakehouse.query.hashing import text_hash
from lakehouse.query.words import literal
from segments.choosing.leaf_tables import duckdb_sql
from segments.choosing.suppression import PersonFactsSql, Use, facts_of_uses, may_contact_sql
from vocabulary.audience import Audience, StandingRun, days_of_use
from vocabulary.policy import CHANNELS, Policy

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk
    from lakehouse.tables.lake import Lake

RECALLED = "RECALLED"


def recalled_audiences(
    lake: Lake,
    business_date: date,
    runs: Iterable[StandingRun],
    policy: Policy,
    recalled_codes: Collection[str] = (),
) -> tuple[Audience, ...]:
    """Give each run without the people who withdrew, as the audience that follows it; a run that nobody left is left out.

    A run of ``recalled_codes`` loses everybody.

    Who withdrew is whom suppression would keep out of any contact of the purpose by now (who died, is restricted, refused,
    complained …), who no longer agrees to the channel they were chosen for, or has no usable address there any more: its last
    contact bounced, say. A run of the date itself is given as it is, so that a delivery which a crash kept from being recorded is recorded.
    """
    audiences = []
    for run in runs:
        if run.audience.code in recalled_codes:
            people = run.audience.people.slice(0, 0)
        else:
            people = staying_people(lake, business_date, run, policy)
        if people.num_rows < run.audience.counts["published"]:
            audiences.append(_without(run, people, business_date))
        elif run.as_of == business_date:
            audiences.append(replace(run.audience, run_id=run.audience.run_id.partition("-")[0]))
    return tuple(audiences)


def staying_people(lake: Lake, business_date: date, run: StandingRun, policy: Policy) -> pa.Table:
    """Give the people of a run who have not withdrawn, with their columns; see ``recalled_audiences`` for who has."""
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        return _staying(lake, desk, run, business_date, policy)


def permissions(
    lake: Lake, business_date: date, people: pa.Table, uses: Iterable[tuple[str, str, int]], policy: Policy
) -> pa.Table:
    """Give one_id, purpose, channel of the people (one_id) who may be contacted so on every one of the days of a use.

    Consent covers purpose and channel, an address is usable, and nothing suppresses the person for the purpose; see
    ``segments.choosing.suppression``.
    """
    every_use = sorted(set(uses))
    facts = facts_of_uses(every_use, policy=policy, business_date=business_date)
    ways = "\nUNION ALL\n".join(
        f"SELECT one_id, {literal(purpose)} AS purpose, {literal(channel)} AS channel FROM facts"
        f" WHERE {may_contact_sql(purpose, channel, days)}"
        for purpose, channel, days in every_use
    )
    sql = f"{_facts_sql(facts, 't.one_id', 'people')}\n{ways}"
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        query = duckdb_sql(lake, desk, sql, facts.tables, {"people": desk.lend("people", people)})
        return desk.arrow(f"SELECT DISTINCT * FROM ({query}) ORDER BY ALL")


def _without(run: StandingRun, people: pa.Table, business_date: date) -> Audience:
    audience, published = run.audience, people.num_rows
    leavers = audience.counts["published"] - published
    drops = audience.counts["dropped_by_contact"]
    counts: dict[str, Any] = {
        **audience.counts,
        "dropped_by_contact": {**drops, RECALLED: drops.get(RECALLED, 0) + leavers},
        "published": published,
        "consent": dict.fromkeys(audience.counts["consent"], published),
    }
    keys = ",".join(map(str, people["one_id"].to_pylist()))
    run_id = text_hash("recall", audience.run_id, business_date, keys)[:24]
    return replace(audience, run_id=run_id, counts=counts, people=people)


def _staying(lake: Lake, desk: Desk, run: StandingRun, business_date: date, policy: Policy) -> pa.Table:
    """Give the people of a run who have not withdrawn by the business date, sorted by ``one_id``."""
    audience = run.audience
    days = days_of_use(audience.valid_hours)
    uses: list[Use] = [(audience.purpose, channel, days) for channel in sorted(CHANNELS)]
    facts = facts_of_uses(uses, policy=policy, business_date=business_date)
    ways = {channel: may_contact_sql(audience.purpose, channel, days) for channel in CHANNELS}
    cases = " ".join(f"WHEN '{channel}' THEN {way}" for channel, way in ways.items())
    sql = (
        f"{_facts_sql(facts, 't.published_as, t.channel', 'standing')}\n"
        f"SELECT published_as FROM facts WHERE CASE channel {cases} ELSE {' OR '.join(ways.values())} END"
    )
    people = desk.lend("people", audience.people)
    channels = desk.lend("channels", _channels(lake, desk, run))
    redirects = desk.lend(
        "redirects", lake.read_arrow("identity.redirects", columns=["from_one_id", "to_one_id"])
    )
    standing = desk.keep(
        "standing",
        "SELECT p.one_id AS published_as, coalesce(r.to_one_id, p.one_id) AS one_id, c.channel\n"
        f"FROM {people} p LEFT JOIN {channels} c USING (one_id) LEFT JOIN {redirects} r ON r.from_one_id = p.one_id",
    )
    staying = duckdb_sql(lake, desk, sql, facts.tables, {"standing": standing})
    return desk.arrow(f"SELECT * FROM {people} WHERE one_id IN ({staying}) ORDER BY one_id")


def _facts_sql(facts: PersonFactsSql, columns: str, people: str) -> str:
    """Give the WITH clause of ``facts``: these columns of the relation ``people``, called t there, and what suppression asks."""
    parts, joins = ",\n".join(facts.parts), "\n".join(facts.joins)
    selection = ", ".join([columns, *facts.columns])
    return f"WITH {parts},\nfacts AS (SELECT {selection}\nFROM {people} t\n{joins})"


def _channels(lake: Lake, desk: Desk, run: StandingRun) -> pa.Table:
    """Give the channel each person was chosen for last (one_id, channel), which not every audience publishes."""
    code = run.audience.code
    rows = lake.read_arrow(
        "segments.members",
        columns=["one_id", "channel", "as_of"],
        filters=[("code", "=", code), ("as_of", "<=", run.as_of)],
    )
    members = desk.lend("members", rows)
    return desk.arrow(
        f"SELECT one_id, arg_max(channel, as_of) AS channel FROM {members} WHERE as_of <= {literal(run.as_of)} GROUP BY one_id"
    )
