"""What a segment would choose and publish: its figures from a publication, as a night has them from the same inputs. No JVM.

People are chosen, suppressed and assigned by the functions of the night (``segments.choosing``) on the published tables. Nothing is
written to the lake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from lakehouse.query.desk import Relation
from lakehouse.query.published import Published, open_publication
from lakehouse.query.words import identifier, literal
from lakehouse.settings.settings import Settings
from lakehouse.texts import reason_text, text
from segments.approving.branch_scopes import BranchScope, among_sql, scope_notes
from segments.approving.standing import Standing, read_authority, standings
from segments.choosing.compile import value_column
from segments.choosing.decide import (
    SegmentOutcome,
    SegmentPlaces,
    answer_columns,
    candidate_sql,
)
from segments.choosing.evaluation import dry_destinations_of
from segments.choosing.guards.refusing import gate_refusal
from segments.choosing.guards.yardsticks import read_yardsticks
from segments.explaining.event_names import with_event_names
from segments.explaining.explain import connector_text, leaf_text, question_text
from segments.explaining.live import LiveRun, live_audiences, live_runs
from segments.explaining.snapshot import (
    catalogue_on,
    named_by,
    read_indexed_snapshot,
    refuse_faults,
    rivals_of,
    segment_of,
    with_draft,
    without_faults,
)
from segments.indexing.answering import IndexedPeople
from segments.language.catalogue import Catalogue
from segments.language.checks.findings import Surroundings
from segments.language.columns import COMPANIES, WINDOW_COLUMNS, given_columns
from segments.language.conditions import All, Any_, Node, Not, conjuncts, logic_sql
from segments.language.segment_leaves import rule_leaves
from segments.language.spec import Segment
from vocabulary.buckets import bucket_duckdb_sql

# What the first step of a funnel counts, by the entity of a segment.
EVERYBODY = {
    "customer": "preview.everybody", "prospect": "preview.everybody",
    "company": "preview.every_company", "household": "preview.every_household",
}  # fmt: skip


@dataclass(frozen=True)
class FunnelStep:
    """How many people the rule chooses up to a condition, and of how many it cannot tell."""

    condition: str
    people: int
    unknown: int


@dataclass(frozen=True)
class LeafAnswers:
    """How many people a leaf answers with yes, no and unknown, of all that have tags."""

    leaf: str
    yes: int
    no: int
    unknown: int


@dataclass(frozen=True)
class Overlap:
    """Another audience, and how many of its people this one has too; ``state`` is ``live`` (published) or ``tonight``."""

    segment: str
    version: str
    state: str
    people: int
    shared: int


@dataclass(frozen=True)
class Movement:
    """An audience beside the one that was published under its code: people who stay, enter and leave."""

    version: str
    staying: int
    entering: int
    leaving: int


@dataclass(frozen=True)
class Preview:
    """The figures of one segment on one publication; ``counts`` is what a manifest says of a run."""

    code: str
    version: str
    name: str
    file: str
    business_date: date
    counts: dict[str, Any]
    funnel: list[FunnelStep]
    leaves: list[LeafAnswers]
    channels: list[dict[str, Any]]
    """People by variant and channel."""
    overlaps: list[Overlap]
    difference: Movement | None
    """None where nothing was published under the code."""
    people: list[dict[str, Any]]
    """A few of those who would be contacted: OneID, variant, channel, published columns, send window; no name and no address."""
    refusal: str | None
    """What would stop the night; None where nothing would."""
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        counts = (self.counts["suppressed_by_reason"], self.counts["dropped_by_contact"])
        reasons = {reason: reason_text(reason) for by_reason in counts for reason in by_reason}
        return asdict(self) | {"reasons": reasons}


def preview(
    settings: Settings,
    surroundings: Surroundings,
    name: str,
    business_date: date | None = None,
    *,
    people: int = 10,
    branches: BranchScope | None = None,
) -> Preview:
    """Give the figures of a segment of the workspace, by its code, or of a file anywhere.

    They are those of the newest publication, or of that of ``business_date``. A faulty specification raises
    ``SettingsInvalid``; a version that was published with another definition is a note, since a draft may be looked at. With
    ``branches`` the few ``people`` are of these; every count is of all.
    """
    with open_publication(settings, business_date) as published:
        workspace = catalogue_on(published, surroundings)
        segment = segment_of(workspace, name)
        catalogue = with_draft(workspace, segment)
        scope = named_by([segment], catalogue)
        with_names = with_event_names(published, catalogue, scope)
        notes = [str(finding) for finding in refuse_faults(with_names, scope)]
        runs = live_runs(published)
        standing = standings(
            catalogue.segments, read_authority(settings), published.publication.business_date
        )
        barrier = standing[segment.code].barrier
        notes += [barrier.sentence] if barrier is not None else []
        shown_branches = branches if people else None
        notes += scope_notes(shown_branches)
        silent = _silent(standing, segment, surroundings)
        waiting = [other for other in _tonight(catalogue, segment, runs) if other.code not in silent]
        rivals = [r for r in rivals_of([segment, *waiting], catalogue) if r.code not in silent]
        others, faulty = without_faults([*waiting, *rivals], catalogue)
        notes += [text("preview.faulty", code=code) for code in faulty]
        scope = named_by([segment, *others], catalogue)
        snapshot = read_indexed_snapshot(published, catalogue.site, scope)
        notes += snapshot.notes
        places = snapshot.place_all(scope)
        outcomes = snapshot.outcomes({code: one for code, one in places.items() if code not in silent})
        outcome = outcomes[segment.code]
        day = published.publication.business_date
        # As ``difference`` does: beside what the publication's own night published.
        yardsticks = read_yardsticks(published, published, [segment], day, until=day).get(segment.code)
        refusal = gate_refusal(published, segment, outcome.counts, outcome.candidates, yardsticks)
        members = {code: p.members for code, p in places.items()}
        funnel, leaves = (
            _funnel(published, places[segment.code], members)
            if snapshot.indexed is None or segment.is_collective
            else _counted_funnel(snapshot.indexed, segment, members)
        )
        notes += _addressed(published, places[segment.code], funnel)
        audience = f"(SELECT * FROM {outcome.candidates} WHERE place = 'TREATED')"
        live = live_audiences(published)
        return Preview(
            code=segment.code,
            version=segment.version,
            name=getattr(segment.spec.name, settings.language),
            file=str(segment.file),
            business_date=published.publication.business_date,
            counts=outcome.counts,
            funnel=funnel,
            leaves=leaves,
            channels=published.records(
                f"SELECT variant, channel, count(*) AS people FROM {audience} GROUP BY ALL ORDER BY ALL",
            ),
            overlaps=[
                *_published_overlaps(published, segment, runs, live, audience),
                *(
                    _overlap_tonight(published, other, outcomes[other.code], audience)
                    for other in waiting
                    if other.code not in faulty
                ),
            ],
            difference=_difference(published, segment, runs, live, audience),
            people=_people(published, segment, outcome, people, shown_branches),
            refusal=None if refusal is None else str(refusal),
            notes=notes,
        )


def _addressed(published: Published, places: SegmentPlaces, funnel: list[FunnelStep]) -> list[str]:
    """Say through how many people the companies or households that are chosen would be contacted."""
    if places.addressees is None:
        return []
    ((entities, people),) = published.rows(
        f"SELECT count(*), count(DISTINCT one_id) FROM {places.addressees}"
    )
    return [text("preview.addressed", chosen=funnel[-1].people, addressed=entities, people=people)]


def _silent(standing: Mapping[str, Standing], segment: Segment, surroundings: Surroundings) -> set[str]:
    """Give the other segments that take no contact from this one: those not published, and those for show unless it is one itself."""

    def is_dry(other: Segment) -> bool:
        destinations = set(other.spec.publish.destinations)
        return not destinations - dry_destinations_of(other, surroundings.dry_destinations)

    return {
        code
        for code, one in standing.items()
        if code != segment.code and (one.barrier is not None or (is_dry(one.segment) and not is_dry(segment)))
    }


def _tonight(catalogue: Catalogue, segment: Segment, runs: dict[str, LiveRun]) -> list[Segment]:
    """Give the other segments whose definition was not published yet; of the rest a night publishes whom it published."""
    return [
        other for other in catalogue.segments
        if other.code != segment.code and runs.get(other.code) != LiveRun(other.version, other.definition_hash)
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- the rule


def _funnel(
    published: Published, places: SegmentPlaces, members: dict[str, Relation]
) -> tuple[list[FunnelStep], list[LeafAnswers]]:
    """Count all steps and leaves in one pass: people who answer every leaf alike are counted together first.

    Of a segment of companies or households these are counted, not people.
    """
    segment = places.segment
    steps = list(rule_steps(segment))
    every_leaf = {leaf.column: leaf for leaf in rule_leaves(segment)}
    write = answer_columns(members)
    alike = ", ".join(f"{write(leaf)} AS {column}" for column, leaf in every_leaf.items())
    groups = f"SELECT {', '.join(every_leaf)}, count(*) AS people FROM (SELECT {alike} FROM {places.answers}) GROUP BY ALL"
    counts = ["sum(people)"]
    for _, node in steps:
        answer = logic_sql(node, lambda leaf: leaf.column)
        counts.append(f"sum(people) FILTER (WHERE {candidate_sql(segment, f'({answer})')})")
        counts.append(f"sum(people) FILTER (WHERE ({answer}) IS NULL)")
    for column in every_leaf:
        counts += [f"sum(people) FILTER (WHERE {column})", f"sum(people) FILTER (WHERE {column} IS NULL)"]
    whole = ", ".join(f"coalesce({count}, 0)::BIGINT" for count in counts)
    (row,) = published.rows(f"SELECT {whole} FROM ({groups})")
    everybody, numbers = row[0], iter(row[1:])
    funnel = [FunnelStep(text(EVERYBODY[segment.spec.entity]), everybody, 0)]
    funnel += [FunnelStep(condition, next(numbers), next(numbers)) for condition, _ in steps]
    answers = []
    for leaf in every_leaf.values():
        yes, unknown = next(numbers), next(numbers)
        answers.append(LeafAnswers(leaf_text(leaf), yes, everybody - yes - unknown, unknown))
    return funnel, answers


def _counted_funnel(
    indexed: IndexedPeople, segment: Segment, members: Mapping[str, Relation]
) -> tuple[list[FunnelStep], list[LeafAnswers]]:
    """Count all steps and leaves as ``_funnel`` does, by the bits of an index."""
    steps = list(rule_steps(segment))
    leaves = {leaf.column: replace(leaf, include_unknown=None) for leaf in rule_leaves(segment)}
    leaf_of = {leaf.column: leaf for leaf in rule_leaves(segment)}
    everybody = indexed.index.people
    counts = indexed.count(segment, [node for _, node in steps], members)
    funnel = [FunnelStep(text(EVERYBODY[segment.spec.entity]), everybody, 0)]
    for (condition, _), (yes, unknown) in zip(steps, counts, strict=True):
        funnel.append(FunnelStep(condition, yes + unknown if segment.unknown == "include" else yes, unknown))
    answers = indexed.count(segment, leaves.values(), members)
    return funnel, [
        LeafAnswers(leaf_text(leaf_of[column]), yes, everybody - yes - unknown, unknown)
        for column, (yes, unknown) in zip(leaves, answers, strict=True)
    ]


def rule_steps(segment: Segment) -> Iterator[tuple[str, Node]]:
    """Give each condition of a rule in the order of the file, with the rule up to it; the last one is the whole rule."""
    required: list[Node] = []
    for word, node in (("base", segment.base), ("where", segment.where)):
        for part in conjuncts(node):
            required.append(part)
            yield f"{word}: {node_text(part)}", All(tuple(required))
    choices: list[Node] = [All(tuple(required))] if required else []
    for node in segment.include:
        choices.append(node)
        yield f"include: {node_text(node)}", Any_(tuple(choices))
    parts: list[Node] = [Any_(tuple(choices))]
    for node in segment.exclude:
        parts.append(Not(node))
        yield f"exclude: {node_text(node)}", All(tuple(parts))


def node_text(node: Node) -> str:
    """Give a condition on one line."""
    if isinstance(node, All | Any_):
        return f"{connector_text(node)} ({'; '.join(node_text(part) for part in node.parts)})"
    if isinstance(node, Not):
        return f"{connector_text(node)} ({node_text(node.part)})"
    return question_text(node)


# --------------------------------------------------------------------------------------- the audience


def _published_overlaps(
    published: Published,
    segment: Segment,
    runs: dict[str, LiveRun],
    live: Relation,
    audience: str,
) -> list[Overlap]:
    rows = published.rows(
        f"SELECT l.code, count(*), count(a.one_id) FROM {live} l LEFT JOIN {audience} a USING (one_id) GROUP BY ALL"
    )
    counts = {code: (people, shared) for code, people, shared in rows}
    return [
        Overlap(code, run.version, "live", *counts.get(code, (0, 0)))
        for code, run in sorted(runs.items())
        if code != segment.code
    ]


def _overlap_tonight(published: Published, other: Segment, outcome: SegmentOutcome, audience: str) -> Overlap:
    ((people, shared),) = published.rows(
        f"SELECT count(*), count(a.one_id) FROM {outcome.candidates} c LEFT JOIN {audience} a USING (one_id)\n"
        "WHERE c.place = 'TREATED'"
    )
    return Overlap(other.code, other.version, "tonight", people, shared)


def _difference(
    published: Published,
    segment: Segment,
    runs: dict[str, LiveRun],
    live: Relation,
    audience: str,
) -> Movement | None:
    if segment.code not in runs:
        return None
    ((staying, entering, leaving),) = published.rows(
        "SELECT count(*) FILTER (WHERE a.one_id IS NOT NULL AND l.one_id IS NOT NULL),\n"
        "  count(*) FILTER (WHERE l.one_id IS NULL), count(*) FILTER (WHERE a.one_id IS NULL)\n"
        f"FROM {audience} a FULL JOIN (SELECT one_id FROM {live} WHERE code = {literal(segment.code)}) l USING (one_id)"
    )
    return Movement(runs[segment.code].version, staying, entering, leaving)


def _people(
    published: Published,
    segment: Segment,
    outcome: SegmentOutcome,
    most: int,
    branches: BranchScope | None,
) -> list[dict[str, Any]]:
    """Give a few people of the audience: always the same ones, chosen by a bucket of their own salt."""
    columns = [column for column in segment.spec.publish.columns if column not in given_columns(segment)]
    values = "".join(f", {value_column(column)} AS {identifier(column)}" for column in columns)
    values += f", {COMPANIES}" if COMPANIES in segment.spec.publish.columns and segment.is_collective else ""
    # Where no rule of contact concerns the segment its files have no windows either.
    windows = "".join(f", {column}" for column in WINDOW_COLUMNS if column in outcome.candidates.columns)
    order = f"{bucket_duckdb_sql(f'preview:{segment.code}')}, one_id"
    among = among_sql(branches, published)
    return published.records(
        f"SELECT one_id, variant, channel{values}{windows} FROM {outcome.candidates} WHERE place = 'TREATED'{among}\n"
        f"ORDER BY {order} LIMIT {most}",
    )
