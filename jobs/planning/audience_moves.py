"""Who enters and who leaves each audience of a plan, why, and what their destinations would receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.query.words import identifier, literal
from segments.choosing.assignment import outside_share_sql
from segments.language.spec import read_version
from vocabulary.buckets import bucket_duckdb_sql

if TYPE_CHECKING:
    from jobs.planning.both_lakes import BothLakes
    from lakehouse.query.desk import Relation
    from vocabulary.audience import Audience

TAGS = "tags.customer_tags"


@dataclass(frozen=True)
class AudienceMove:
    """One audience before and after, in people who are contacted.

    ``causes`` counts those who enter or leave by what kept or keeps them out: ``rule``, ``rollout`` where another one leaves them out,
    ``control``, ``merge`` of people of two arms, a reason of suppression or of contact policy. ``versions`` are those of its definition; null where there is none. ``obstacle`` says why it is not published.
    """

    audience: str
    before: int
    after: int
    enter: int
    leave: int
    versions: tuple[str | None, str | None]
    obstacle: str | None = None
    causes: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class PublicationMove:
    """One audience at one destination: rows before and after, and rows of people who stay whose published tags differ."""

    destination: str
    audience: str
    before: int
    after: int
    enter: int
    leave: int
    update: int

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def movers(both: BothLakes, workspaces: tuple[Path, Path]) -> Relation:
    """Keep everybody who is in an audience before or after: code, one_id, was_in, is_in, and what keeps them out on the other side.

    ``workspaces`` are the folders of both sides, where the templates of their segments lie.
    """
    day = literal(both.day)
    tables = [both.pair(f"segments.{name}") for name in ("members", "contact_losses", "suppressions")]

    def sent_sql(at: int) -> str:
        members, losses, _ = (pair[at] for pair in tables)
        return (
            f"SELECT code, one_id FROM {members} WHERE as_of = {day} AND holdout = 'NONE'\n"
            f"  AND variant IS DISTINCT FROM 'CONTAMINATED'\n"
            f"EXCEPT SELECT code, one_id FROM {losses} WHERE as_of = {day}"
        )

    def kept_out_sql(at: int) -> str:
        members, losses, suppressions = (pair[at] for pair in tables)
        return (
            f"SELECT code, one_id, min(reason) AS reason FROM (\n"
            f"  SELECT code, one_id, reason FROM {suppressions} WHERE as_of = {day}\n"
            f"  UNION ALL SELECT code, one_id, reason FROM {losses} WHERE as_of = {day}\n"
            f"  UNION ALL SELECT code, one_id, CASE WHEN holdout <> 'NONE' THEN 'control' ELSE 'merge' END FROM {members}\n"
            f"  WHERE as_of = {day} AND (holdout <> 'NONE' OR variant = 'CONTAMINATED'))\n"
            "GROUP BY code, one_id"
        )

    elsewhere = _outside_rollouts(both, workspaces)
    moves = both.desk.keep(
        "audience_pairs",
        "SELECT coalesce(b.code, a.code) AS code, coalesce(b.one_id, a.one_id) AS one_id,\n"
        "  b.one_id IS NOT NULL AS was_in, a.one_id IS NOT NULL AS is_in\n"
        f"FROM ({sent_sql(0)}) b FULL JOIN ({sent_sql(1)}) a ON a.code = b.code AND a.one_id = b.one_id",
    )
    return both.desk.keep(
        "audience_movers",
        f"SELECT m.*, CASE WHEN was_in AND NOT is_in THEN coalesce(a.reason, {elsewhere[1]})\n"
        f"  WHEN is_in AND NOT was_in THEN coalesce(b.reason, {elsewhere[0]}) END AS cause\n"
        f"FROM {moves} m LEFT JOIN ({kept_out_sql(0)}) b ON b.code = m.code AND b.one_id = m.one_id\n"
        f"LEFT JOIN ({kept_out_sql(1)}) a ON a.code = m.code AND a.one_id = m.one_id",
    )


def _outside_rollouts(both: BothLakes, workspaces: tuple[Path, Path]) -> list[str]:
    """Give for each side what keeps a person out who is nowhere in its tables.

    That is ``rollout`` where its roll-out is another one and leaves the person out, else the rule. A roll-out that is the same on both sides
    moves nobody.
    """
    day = literal(both.day)
    sides = []
    for workspace, definitions, runs in zip(
        workspaces, both.pair("segments.definitions"), both.pair("segments.runs"), strict=True
    ):
        rows = both.desk.rows(
            f"SELECT d.code, d.version, d.yaml FROM {definitions} d JOIN {runs} r\n"
            f"  ON r.code = d.code AND r.version = d.version AND r.as_of = {day}"
        )
        sides.append({code: read_version(code, version, text, workspace) for code, version, text in rows})
    codes = [
        code
        for code in sorted(sides[0].keys() & sides[1].keys())
        if sides[0][code].spec.rollout != sides[1][code].spec.rollout
    ]
    cases = [
        [f"WHEN m.code = {literal(code)} AND {outside_share_sql(side[code], 'm.one_id')} THEN 'rollout'" for code in codes]
        for side in sides
    ]  # fmt: skip
    return [f"CASE {' '.join(each)} ELSE 'rule' END" if each else "'rule'" for each in cases]


def audience_moves(
    both: BothLakes,
    moves: Relation,
    obstacles: Mapping[str, str],
    names: Sequence[str],
    *,
    people: int,
) -> list[AudienceMove]:
    """Give every audience, also those that nobody is in on one side; of those who enter and leave so many ``people`` each."""
    desk, day = both.desk, literal(both.day)
    counts = {
        code: numbers
        for code, *numbers in desk.rows(
            "SELECT code, count(*) FILTER (WHERE was_in), count(*) FILTER (WHERE is_in),\n"
            "  count(*) FILTER (WHERE NOT was_in), count(*) FILTER (WHERE NOT is_in)\n"
            f"FROM {moves} GROUP BY code"
        )
    }
    versions = [
        dict(desk.rows(f"SELECT code, version FROM {runs} WHERE as_of = {day}"))
        for runs in both.pair("segments.runs")
    ]
    op = "CASE WHEN is_in THEN 'ENTER' ELSE 'EXIT' END"
    causes = desk.records(
        f"SELECT code, {op} AS op, cause, count(*) AS people FROM {moves} WHERE was_in <> is_in\n"
        "GROUP BY ALL ORDER BY code, op, people DESC, cause"
    )
    order = f"{bucket_duckdb_sql('preview')}, one_id"
    examples = desk.records(
        f"SELECT code, {op} AS op, one_id, cause FROM {moves} WHERE was_in <> is_in\n"
        f"QUALIFY row_number() OVER (PARTITION BY code, is_in ORDER BY {order}) <= {people} ORDER BY code, op, {order}"
    ) if people else []  # fmt: skip

    def of(rows: list[dict[str, Any]], code: str) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in row.items() if name != "code"}
            for row in rows
            if row["code"] == code
        ]

    answer = []
    for code in sorted({*names, *counts, *versions[0], *versions[1]}):
        before, after, enter, leave = counts.get(code, (0, 0, 0, 0))
        pair = (versions[0].get(code), versions[1].get(code))
        facts = (obstacles.get(code), of(causes, code), of(examples, code))
        answer.append(AudienceMove(code, before, after, enter, leave, pair, *facts))
    return answer


def publication_moves(
    both: BothLakes, moves: Relation, audiences: Sequence[Audience], moved_tags: Sequence[str]
) -> list[PublicationMove]:
    """Give what each destination would receive of each audience beside what it received for the published date."""
    desk, day = both.desk, literal(both.day)
    deliveries = both.pair("segments.deliveries")[0]
    before = set(desk.rows(f"SELECT DISTINCT destination, code FROM {deliveries} WHERE as_of = {day}"))
    after = {(name, audience.code): audience for audience in audiences for name in audience.live_destinations}
    schemas = [lake.delta(TAGS).schema().fields for lake in (both.published, both.clone)]
    both_tags = set(moved_tags).intersection(*({column.name for column in schema} for schema in schemas))
    answer = []
    for destination, code in sorted({*before, *after}):
        audience = after.get((destination, code))
        was, becomes = (destination, code) in before, audience is not None
        ((rows_before, rows_after, enter, leave),) = desk.rows(
            f"SELECT count(*) FILTER (WHERE was_in AND {was}), count(*) FILTER (WHERE is_in AND {becomes}),\n"
            f"  count(*) FILTER (WHERE is_in AND {becomes} AND NOT (was_in AND {was})),\n"
            f"  count(*) FILTER (WHERE was_in AND {was} AND NOT (is_in AND {becomes}))\n"
            f"FROM {moves} WHERE code = {literal(code)}"
        )
        columns = [name for name in audience.levels if name in both_tags] if audience and was else []
        update = _updates(both, moves, code, columns)
        answer.append(PublicationMove(destination, code, rows_before, rows_after, enter, leave, update))
    return answer


def _updates(both: BothLakes, moves: Relation, code: str, columns: Sequence[str]) -> int:
    """Count the people who stay in an audience and of whom a published tag differs."""
    if not columns:
        return 0
    before, after = both.pair_as_is(TAGS)
    differs = " OR ".join(f"b.{identifier(name)} IS DISTINCT FROM a.{identifier(name)}" for name in columns)
    return int(
        both.desk.value(
            f"SELECT count(*) FROM {moves} m JOIN {before} b USING (one_id) JOIN {after} a USING (one_id)\n"
            f"WHERE m.code = {literal(code)} AND was_in AND is_in AND ({differs})"
        )
    )
