"""Warnings that need people: what the newest publication says of segments, W01 to W04. They stop nothing.

W01 groups too small to measure · W02 more than 90 % of a segment are in another · W03 one condition leaves less than 5 % ·
W04 a list that names people twice, or nobody we know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from lakehouse.query.published import newest_publication, open_publication
from lakehouse.query.words import literal, literals
from segments.choosing.compile import compile_leaf_table, rank_leaves
from segments.choosing.decide import answer_columns
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.choosing.leaves.ranks import hash_duckdb_sql, rank_sql
from segments.explaining.snapshot import named_by, read_snapshot
from segments.language.checks.findings import SpecFinding
from segments.language.conditions import ListLeaf, Node, SegmentLeaf, conjuncts, leaves, logic_sql
from segments.language.leaves.people import RankLeaf
from segments.language.lists import list_file, read_list
from segments.language.segment_leaves import all_leaves, nested_segments
from segments.language.spec import Segment

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings
    from segments.language.catalogue import Catalogue

# Groups that could show only that responses more than double are too small; of a hundred people five respond, say.
RESPONSE = 0.05
_NEEDED = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
OVERLAP = 0.9
LEFT = 0.05
COUNTED = {"customer": "people", "prospect": "people", "company": "companies", "household": "households"}
PERSONS = "SELECT (source, source_key) FROM identity.memberships WHERE valid_to IS NULL"
RUN_TABLES = ("segments.runs", "segments.members")


@dataclass(frozen=True)
class _Run:
    """What the publication knows of a segment."""

    as_of: date
    counts: dict[str, Any]


def publication_warnings(settings: Settings, catalogue: Catalogue) -> list[SpecFinding]:
    """Give the warnings of every segment without faults; none before the first night."""
    publication = newest_publication(settings)
    if publication is None or not set(RUN_TABLES) <= set(publication.tables):
        return []
    faulty = {finding.file for finding in catalogue.findings() if not finding.is_warning}
    segments = [segment for segment in catalogue.segments if segment.file not in faulty]
    with open_publication(settings) as published:
        day = publication.business_date
        warnings = [
            *_small_groups(published, segments),
            *_overlaps(published, segments, day),
            *_list_people(published, segments, catalogue),
        ]
        if "tags.customer_tags" in publication.tables:
            warnings += _narrow_conditions(published, segments, catalogue, day, set(publication.tables))
    return sorted(warnings, key=lambda f: (str(f.file), f.line or 0, f.code, f.message))


def detectable_change(first: int, second: int, response: float = RESPONSE) -> float:
    """Give the least increase of a share that two groups would show (80 % power, 5 % two-sided), 1 where none would.

    Two proportions with unequal variances, Fleiss, Levin and Paik (2003), without continuity correction.
    """
    if not first or not second:
        return 1.0
    low, high = 0.0, 1.0 - response
    for _ in range(50):
        change = (low + high) / 2
        other = response + change
        deviation = sqrt(response * (1 - response) / first + other * (1 - other) / second)
        low, high = (low, change) if change >= _NEEDED * deviation else (change, high)
    return high


def _small_groups(published: Published, segments: list[Segment]) -> Iterator[SpecFinding]:
    runs: dict[str, _Run] = {}
    rows = published.rows("SELECT code, as_of, counts FROM segments.runs ORDER BY as_of")
    for code, as_of, counts in rows:
        runs[code] = _Run(as_of, json.loads(counts))
    for segment in segments:
        run, split, holdout = runs.get(segment.code), segment.spec.split, segment.spec.holdout
        if run is None or not (split or holdout.local_percent or holdout.global_group):
            continue
        groups = dict(run.counts["variants"]) if split else {"treated": run.counts["published"]}
        if holdout.local_percent or holdout.global_group:
            groups["control"] = run.counts["holdout_local"] + run.counts["control_global"]
        groups.pop("DEFAULT", None)
        smallest = sorted(groups.items(), key=lambda group: (group[1], group[0]))[:2]
        if len(smallest) < 2:
            continue
        (one, first), (other, second) = smallest
        change = detectable_change(first, second)
        if change > RESPONSE:
            line = segment.line("split") if split else segment.line("holdout")
            yield SpecFinding(
                "W01",
                f"too small to measure: on {run.as_of} {one} had {first} people and {other} {second}; a response of"
                f" {RESPONSE:.0%} would have to rise by {change:.1%} to be seen",
                segment.file,
                line,
            )


def _overlaps(published: Published, segments: list[Segment], day: date) -> Iterator[SpecFinding]:
    codes = literals([segment.code for segment in segments] or [""])
    rows = published.rows(
        "WITH m AS (SELECT DISTINCT code, one_id FROM segments.members WHERE as_of = ?"
        f" AND code IN ({codes})), n AS (SELECT code, count(*) AS people FROM m GROUP BY code)\n"
        "SELECT a.code, b.code, count(*) / any_value(n.people) FROM m a JOIN m b ON b.one_id = a.one_id AND b.code <> a.code"
        " JOIN n ON n.code = a.code GROUP BY a.code, b.code HAVING count(*) > ? * any_value(n.people) ORDER BY 1, 2",
        [day, OVERLAP],
    )
    by_code = {segment.code: segment for segment in segments}
    for code, other, ratio in rows:
        segment = by_code[code]
        codes_read = {leaf.segment for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)}
        if other not in codes_read:
            text = f"{ratio:.0%} of its members of {day} are in '{other}' as well"
            yield SpecFinding("W02", text, segment.file, segment.line("code"))


def _list_people(
    published: Published, segments: list[Segment], catalogue: Catalogue
) -> Iterator[SpecFinding]:
    """Count whom lists name twice and whom nobody knows; never say who."""
    every = [
        (segment, leaf) for segment in segments for leaf in all_leaves(segment) if isinstance(leaf, ListLeaf)
    ]
    for segment, leaf in {leaf.reference: (segment, leaf) for segment, leaf in reversed(every)}.values():
        if not list_file(catalogue.site.workspace, leaf).is_file():
            continue
        entries = read_list(catalogue.site.workspace, leaf).entries
        lent = published.lend("list entries", entries)
        distinct = f"(SELECT DISTINCT one_id, source, source_key FROM {lent})"
        ids = "SELECT one_id FROM identity.one_ids UNION SELECT from_one_id FROM identity.redirects"
        ((people, strangers),) = published.rows(
            f"SELECT count(*), count(*) FILTER (WHERE CASE WHEN one_id IS NOT NULL THEN one_id NOT IN ({ids})"
            f" ELSE (source, source_key) NOT IN ({PERSONS}) END) FROM {distinct}"
        )
        repeats = len(entries) - people
        if repeats or strangers:
            text = (
                f"list '{leaf.reference}' names {strangers} people nobody knows and {repeats} people again, of {len(entries)};"
                " of entries for one person the one that holds longest counts"
            )
            yield SpecFinding("W04", text, segment.file, leaf.line)


def _narrow_conditions(
    published: Published, segments: list[Segment], catalogue: Catalogue, day: date, tables: set[str]
) -> Iterator[SpecFinding]:
    """Ask the publication how many people, companies or households each condition of base and where leaves of those before it."""
    present = set(published.arrow("SELECT * FROM tags.customer_tags LIMIT 0").schema.names)
    readable = [
        segment
        for segment in segments
        if {tag for leaf in all_leaves(segment) for tag in leaf.tags} <= present
    ]
    lists = {
        leaf.reference: read_list(catalogue.site.workspace, leaf)
        for segment in readable for leaf in all_leaves(segment) if isinstance(leaf, ListLeaf)
    }  # fmt: skip
    members = _members_of_that_night(published, readable, day)
    for segment in readable:
        if segment.is_collective:
            scope = named_by([segment], catalogue)
            places = read_snapshot(published, catalogue.site, scope).place_all(scope)
            table = places[segment.code].answers
        else:
            leaf_table = compile_leaf_table([segment], business_date=day, policy=None)
            if not set(leaf_table.tables) <= tables:
                continue
            table = leaves_by_duckdb(published, published, leaf_table, lists, day).rows
        rows, column_of = str(table), answer_columns(members)
        if not segment.is_collective:
            ranks = [leaf for leaf in rank_leaves(segment) if _is_answered(segment, leaf, members)]
            rows = rank_sql(ranks, segment.ranked_group, rows, column_of, hash_duckdb_sql)
        parts = [*conjuncts(segment.base), *conjuncts(segment.where)]
        judged = [part for part in parts if _is_answered(segment, part, members)]
        answers = [logic_sql(part, column_of) for part in judged]
        counts = ", ".join(
            f"count(*) FILTER ({' AND '.join(answers[: number + 1])})" for number in range(len(answers))
        )
        numbers = published.rows(f"SELECT count(*){', ' + counts if counts else ''} FROM {rows}")[0]
        published.drop(table)
        for part, before, after in zip(judged, numbers, numbers[1:], strict=False):
            if before and after < LEFT * before:
                line = next((leaf.line for leaf, _ in leaves(part)), None)
                whom = COUNTED[segment.spec.entity]
                text = f"the condition leaves {after} of the {before} {whom} before it ({day})"
                yield SpecFinding("W03", text, segment.file, line)


def _members_of_that_night(published: Published, segments: list[Segment], day: date) -> dict[str, Relation]:
    """Give the members of every segment that others name, by its code; one that the night did not evaluate has none."""
    names = {code for segment in segments for code in nested_segments(segment)}
    runs = published.rows("SELECT DISTINCT code FROM segments.runs WHERE as_of = ?", [day])
    return {
        code: published.define(
            f"members_{code}",
            f"SELECT DISTINCT one_id FROM segments.members WHERE as_of = {literal(day)} AND code = {literal(code)}",
        )
        for (code,) in sorted(runs)
        if code in names
    }


def _is_answered(segment: Segment, node: Node | None, members: Mapping[str, Relation]) -> bool:
    """Tell whether the night knows the members of every segment that a condition names, itself or where it ranks."""
    return node is None or all(
        leaf.segment in members
        if isinstance(leaf, SegmentLeaf)
        else not isinstance(leaf, RankLeaf) or _is_answered(segment, segment.ranked_group(leaf), members)
        for leaf, _ in leaves(node)
    )
