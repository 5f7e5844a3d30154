"""What another version of a segment changes: who enters and who leaves, and why, decided on the same publication. No JVM."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from lakehouse.errors import UsageError
from lakehouse.query.desk import Relation
from lakehouse.query.published import Published, open_publication
from lakehouse.settings.settings import Settings
from lakehouse.texts import text
from segments.approving.branch_scopes import BranchScope, among_sql, scope_notes
from segments.choosing.decide import SegmentOutcome, SegmentPlaces
from segments.explaining.snapshot import (
    catalogue_on,
    named_by,
    read_snapshot,
    refuse_faults,
    rivals_of,
    with_draft,
    without_faults,
)
from segments.language.catalogue import Catalogue
from segments.language.checks.findings import Surroundings
from segments.language.conditions import SegmentLeaf
from segments.language.segment_leaves import all_leaves
from segments.language.spec import Segment, read_version
from vocabulary.buckets import bucket_duckdb_sql

# Where a person stands in the version that does not contact them; null is a person whom its rule does not choose.
_CAUSE = (
    "CASE WHEN {0}.place = 'SUPPRESSED' THEN {0}.reason WHEN {0}.place = 'NOT_IN_ROLLOUT' THEN 'rollout'\n"
    "  WHEN {0}.place IN ('GLOBAL', 'LOCAL') THEN 'control' WHEN {0}.place = 'CONTAMINATED' THEN 'merge'\n"
    "  WHEN {0}.place = 'DROPPED' THEN {0}.drop_reason ELSE 'rule' END"
)


@dataclass(frozen=True)
class VersionChange:
    """Two versions of a segment on one publication; ``op`` of causes and people is ENTER or EXIT.

    A cause is what kept a person who enters out of the first version, or keeps one who leaves out of the second: ``rule``, a reason of
    suppression, ``rollout``, ``control``, ``merge``, or the reason for which contact policy dropped the person.
    """

    code: str
    first: str
    second: str
    business_date: date
    is_same_definition: bool
    first_counts: dict[str, Any]
    second_counts: dict[str, Any]
    staying: int
    entering: int
    leaving: int
    other_arm: int
    other_channel: int
    causes: list[dict[str, Any]]
    people: list[dict[str, Any]]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def compare_versions(
    settings: Settings,
    surroundings: Surroundings,
    code: str,
    first: str,
    second: str,
    business_date: date | None = None,
    *,
    people: int = 10,
    branches: BranchScope | None = None,
) -> VersionChange:
    """Decide two versions of a segment on the newest publication, or on that of ``business_date``, and compare them.

    Each is decided with the other segments of the workspace whose contacts a night decides together with its own.

    A version is one that a night evaluated (``segments.definitions``), or that of the file in the workspace; another one raises
    ``UsageError``. One that cannot be decided any more, since a tag is gone, raises ``SettingsInvalid``. Of those who enter and of those
    who leave so many ``people`` are given at most, with ``branches`` only people of these; every count is of all.
    """
    with open_publication(settings, business_date) as published:
        workspace = catalogue_on(published, surroundings)
        versions = _versions(published, workspace, code)
        pair = [_version(versions, code, version, workspace) for version in (first, second)]
        scopes, faulty = [], set()
        for segment in pair:
            catalogue = with_draft(workspace, segment)
            refuse_faults(catalogue, named_by([segment], catalogue))
            rivals, faulty_rivals = without_faults(rivals_of([segment], catalogue), catalogue)
            scopes.append(named_by([segment, *rivals], catalogue))
            faulty |= set(faulty_rivals)
        before, after = _outcomes(published, workspace, code, scopes)
        movers = _movers(published, before.candidates, after.candidates)
        shown_branches = branches if people else None
        among = among_sql(shown_branches, published)
        counts = dict(published.rows(f"SELECT op, count(*) FROM {movers} GROUP BY op"))
        ((other_arm, other_channel),) = published.rows(
            f"SELECT count(*) FILTER (WHERE is_other_arm), count(*) FILTER (WHERE is_other_channel) FROM {movers} WHERE op = 'STAY'"
        )
        return VersionChange(
            code=code,
            first=first,
            second=second,
            business_date=published.publication.business_date,
            is_same_definition=pair[0].definition_hash == pair[1].definition_hash,
            first_counts=before.counts,
            second_counts=after.counts,
            staying=counts.get("STAY", 0),
            entering=counts.get("ENTER", 0),
            leaving=counts.get("EXIT", 0),
            other_arm=other_arm,
            other_channel=other_channel,
            causes=published.records(
                f"SELECT op, cause, count(*) AS people FROM {movers} WHERE op <> 'STAY' GROUP BY ALL ORDER BY op, people DESC, cause"
            ),
            people=published.records(
                f"SELECT op, one_id, cause, variant, channel FROM {movers} WHERE op <> 'STAY'{among}\n"
                f"QUALIFY row_number() OVER (PARTITION BY op ORDER BY {bucket_duckdb_sql(f'preview:{code}')}, one_id) <= {people}\n"
                f"ORDER BY op, {bucket_duckdb_sql(f'preview:{code}')}, one_id"
            ),
            notes=[
                *(text("preview.faulty", code=name) for name in sorted(faulty)),
                *scope_notes(shown_branches),
            ],
        )


def _outcomes(
    published: Published, workspace: Catalogue, code: str, scopes: list[list[Segment]]
) -> list[SegmentOutcome]:
    """Give what becomes of the candidates of a segment in each scope, which holds a version of it and what it is decided with."""
    every = {(segment.code, segment.definition_hash): segment for scope in scopes for segment in scope}
    snapshot = read_snapshot(published, workspace.site, list(every.values()))
    outcomes = []
    shared: dict[str, SegmentPlaces] = {}
    for scope in scopes:
        dependent = _dependent(code, scope)
        places = snapshot.place_all(scope, {name: shared[name] for name in shared if name not in dependent})
        shared |= {name: one for name, one in places.items() if name not in dependent}
        own = {segment.code: places[segment.code] for segment in scope}
        outcomes.append(snapshot.outcomes(own)[code])
    return outcomes


def _dependent(code: str, scope: list[Segment]) -> set[str]:
    """Give a segment and those of a scope that name it, those that name these, and so on."""
    dependent = {code}
    names = {s.code: {leaf.segment for leaf in all_leaves(s) if isinstance(leaf, SegmentLeaf)} for s in scope}
    while more := {other for other, others in names.items() if others & dependent} - dependent:
        dependent |= more
    return dependent


def _versions(published: Published, workspace: Catalogue, code: str) -> dict[str, str]:
    """Give the text of every version that can be had: those a night evaluated, and that of the workspace's file."""
    rows = published.rows("SELECT version, yaml FROM segments.definitions WHERE code = ?", [code])
    versions = dict(rows)
    own = next((segment for segment in workspace.segments if segment.code == code), None)
    if own is None and not versions:
        own = workspace.segment(code)
    if own is not None:
        versions.setdefault(own.version, own.text)
    return versions


def _version(versions: dict[str, str], code: str, version: str, workspace: Catalogue) -> Segment:
    if version not in versions:
        names = sorted(versions, key=lambda name: [int(number) for number in name.split(".")])
        raise UsageError(f"segment {code} has no version '{version}'; there are {', '.join(names)}")
    return read_version(code, version, versions[version], workspace.site.workspace)


def _movers(published: Published, before: Relation, after: Relation) -> Relation:
    """Keep everybody whom one of both versions contacts: one_id, op (ENTER, EXIT, STAY), cause, arm and channel."""
    # Candidates of a segment that no rule of contact concerns have no such column.
    rows_before, rows_after = (
        str(rows) if "drop_reason" in rows.columns else f"(SELECT *, NULL AS drop_reason FROM {rows})"
        for rows in (before, after)
    )
    return published.keep(
        "movers",
        "SELECT one_id, CASE WHEN NOT was_in THEN 'ENTER' WHEN NOT is_in THEN 'EXIT' ELSE 'STAY' END AS op,\n"
        "  CASE WHEN NOT was_in THEN cause_before WHEN NOT is_in THEN cause_after END AS cause,\n"
        "  CASE WHEN is_in THEN variant_after ELSE variant_before END AS variant,\n"
        "  CASE WHEN is_in THEN channel_after ELSE channel_before END AS channel,\n"
        "  variant_after IS DISTINCT FROM variant_before AS is_other_arm,\n"
        "  channel_after IS DISTINCT FROM channel_before AS is_other_channel\n"
        "FROM (SELECT coalesce(a.one_id, b.one_id) AS one_id, coalesce(b.place = 'TREATED', false) AS was_in,\n"
        "    coalesce(a.place = 'TREATED', false) AS is_in,\n"
        f"    {_CAUSE.format('b')} AS cause_before, {_CAUSE.format('a')} AS cause_after,\n"
        "    a.variant AS variant_after, b.variant AS variant_before, a.channel AS channel_after, b.channel AS channel_before\n"
        f"  FROM {rows_before} b FULL JOIN {rows_after} a ON a.one_id = b.one_id)\n"
        "WHERE was_in OR is_in",
    )
