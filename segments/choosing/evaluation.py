"""Evaluating all segments of a night: read once, decide by dependency level, write the tables, stage the files.

``evaluate`` makes nothing visible outside the lake; ``release`` does, after the night's gates; ``discard`` forgets it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.publishing import (
    StagedAudience,
    delivery_rows,
    discard_audience,
    release_audience,
    stage_audience,
)
from lakehouse.contracts.reading import contract
from lakehouse.errors import SettingsInvalid, StepFailed
from lakehouse.settings.yaml_files import did_you_mean
from segments.choosing.assignment import HELD_ARMS_SQL
from segments.choosing.compile import TAG_TABLE, compile_leaf_table, published_tags
from segments.choosing.decide import Decision, decide_segment
from segments.choosing.leaf_tables import Engine, make_leaf_table
from segments.choosing.tables import (
    assignment_rows,
    definition_rows,
    earlier_members,
    extend_rows,
    member_rows,
    run_rows,
    suppression_rows,
)
from segments.language.catalogue import Catalogue, read_catalogue
from segments.language.checks import all_leaves, levels_of, refuse_findings
from segments.language.conditions import ListLeaf, TagLeaf
from segments.language.lists import StaticList, read_list
from segments.language.spec import Segment

if TYPE_CHECKING:
    import duckdb

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")
WRITTEN = (
    "definitions",
    "runs",
    "members",
    "changes",
    "suppressions",
    "assignments",
    "recipients",
    "deliveries",
)


@dataclass(frozen=True)
class SegmentsResult:
    """What a night decided and, after ``release``, delivered."""

    business_date: date
    decisions: tuple[Decision, ...] = ()
    audiences: tuple[StagedAudience, ...] = field(default=(), repr=False)

    def summary(self) -> dict[str, dict[str, int]]:
        """Give ``{code: {candidates, suppressed, published}}``, counted in people."""
        return {
            decision.segment.code: {
                "candidates": decision.counts["candidates"],
                "suppressed": sum(decision.counts["suppressed_by_reason"].values()),
                "published": decision.counts["published"],
            }
            for decision in self.decisions
        }

    def funnels(self) -> dict[str, dict[str, Any]]:
        """Give every segment's full counts, as its manifest states them."""
        return {decision.segment.code: decision.counts for decision in self.decisions}

    @property
    def touched(self) -> tuple[str, ...]:
        """The tables a night of segments writes."""
        return tuple(f"segments.{name}" for name in WRITTEN)


def check_specs(settings: Settings) -> None:
    """Read and check every specification of a workspace; the first fault raises ``SettingsInvalid`` with its place."""
    refuse_findings(read_catalogue(settings).findings())


def publish(lake: Lake, business_date: date) -> SegmentsResult:
    """Evaluate all segments of the workspace and release their audiences at once."""
    result = evaluate(lake, business_date)
    release(lake, result)
    return result


def evaluate(lake: Lake, business_date: date, *, engine: Engine | None = None) -> SegmentsResult:
    """Decide every segment of the workspace for a business date, write ``segments.*`` and stage the files.

    ``engine`` makes the leaf table; by default the size of the lake decides, and both give the same run.

    A faulty specification raises ``SettingsInvalid``; a guard raises ``GateStopped`` before anything is written or
    staged. The same inputs give the same rows and the same runs.
    """
    rows = lake.read_arrow("segments.definitions", columns=["code", "version", "definition_hash"]).to_pylist()
    known = {(row["code"], row["version"]): row["definition_hash"] for row in rows}
    catalogue = read_catalogue(lake.settings, known_hashes=known)
    refuse_findings(catalogue.findings())
    if not catalogue.segments:
        return SegmentsResult(business_date)
    connection, decisions = _decide_all(lake, catalogue, business_date, engine)
    _write_tables(lake, connection, decisions, business_date)
    audiences: list[StagedAudience] = []
    try:
        for decision in decisions:
            for name in decision.segment.spec.publish.destinations:
                staged = stage_audience(
                    decision,
                    name,
                    catalogue.around.destinations[name],
                    settings=lake.settings,
                    business_date=business_date,
                    tags=dict(catalogue.around.tags),
                )
                if staged is not None:
                    audiences.append(staged)
        _write_recipients(lake, audiences)
    except BaseException:
        for audience in audiences:
            discard_audience(audience)
        raise
    return SegmentsResult(business_date, tuple(decisions), tuple(audiences))


def release(lake: Lake, result: SegmentsResult) -> None:
    """Make the staged audiences visible to their destinations and record the deliveries."""
    for audience in result.audiences:
        release_audience(audience)
        what = "is there already" if audience.is_repeated else "released"
        log.info(
            "audience %s for %s: %d people, %s",
            audience.segment,
            audience.destination,
            audience.published,
            what,
        )
    extend_rows(lake, "segments.deliveries", delivery_rows(result.audiences))


def discard(result: SegmentsResult) -> None:
    """Remove what was staged and will not be released."""
    for audience in result.audiences:
        discard_audience(audience)


def _decide_all(
    lake: Lake, catalogue: Catalogue, business_date: date, engine: Engine | None
) -> tuple[duckdb.DuckDBPyConnection, list[Decision]]:
    import duckdb

    segments, policy = catalogue.segments, catalogue.around.policy
    _refuse_missing_tags(lake, segments)
    lists = _read_lists(lake.settings.workspace, segments)
    offers = {s.code: _offer_risk(lake, s) for s in segments}
    leaf_table = compile_leaf_table(segments, business_date=business_date, policy=policy)
    connection = duckdb.connect()
    make_leaf_table(lake, connection, leaf_table, lists, business_date, engine=engine)
    connection.register("earlier_members", earlier_members(lake, business_date))
    connection.register(
        "redirects", lake.read_arrow("identity.redirects", columns=["from_one_id", "to_one_id"])
    )
    assigned = lake.read_arrow("segments.assignments", columns=["salt", "one_id", "arm", "assigned_on"])
    connection.register("all_assignments", assigned)
    connection.execute(
        f"CREATE TEMP VIEW earlier_assignments AS FROM all_assignments WHERE assigned_on < DATE '{business_date}'"
    )
    connection.execute(HELD_ARMS_SQL)
    hashes = {ref: (len(found.holding(business_date)), found.sha256) for ref, found in lists.items()}
    decisions: list[Decision] = []
    read_hashes: dict[tuple[str, ...], dict[str, Any]] = {}
    for level in levels_of(segments):
        for segment in level:
            decision = decide_segment(
                connection,
                segment,
                business_date=business_date,
                policy=policy,
                leaf_table=leaf_table,
                tags=catalogue.around.tags,
                list_hashes=hashes,
                offer_risk=offers[segment.code],
                hashes=read_hashes,
            )
            log.info("segment %s: %s", segment.code, decision.counts)
            decisions.append(decision)
    return connection, sorted(decisions, key=lambda d: d.segment.code)


def _read_lists(workspace: Path, segments: Sequence[Segment]) -> dict[str, StaticList]:
    leaves = {x.reference: x for s in segments for x in all_leaves(s) if isinstance(x, ListLeaf)}
    return {reference: read_list(workspace, leaf) for reference, leaf in sorted(leaves.items())}


def _refuse_missing_tags(lake: Lake, segments: Sequence[Segment]) -> None:
    """Refuse a tag that is online in the registry but was never built, before Spark complains about a column."""
    present = {f.name for f in lake.delta(TAG_TABLE).schema().fields}
    for segment in segments:
        asked = [(leaf.tag, leaf.line) for leaf in all_leaves(segment) if isinstance(leaf, TagLeaf)]
        for tag, line in [
            *asked,
            *((tag, segment.line("publish", "columns")) for tag in published_tags(segment)),
        ]:
            if tag not in present:
                raise StepFailed(
                    f"tag '{tag}' is not in {TAG_TABLE} yet; build the tags first",
                    file=segment.file,
                    line=line,
                )


def _offer_risk(lake: Lake, segment: Segment) -> str | None:
    """Give the risk level of the segment's offer, None without an offer."""
    if segment.spec.offer is None:
        return None
    offer_id, _, version = segment.spec.offer.partition("@")
    wanted = ["offer_id", "version", "risk_level", "valid_to"]
    offers = [
        row
        for row in lake.read_arrow("trusted.offers", columns=wanted).to_pylist()
        if row["valid_to"] is None
    ]
    risks = {
        row["risk_level"] for row in offers if row["offer_id"] == offer_id and row["version"] == int(version)
    }
    if not risks or None in risks:
        hint = did_you_mean(segment.spec.offer, [f"{row['offer_id']}@{row['version']}" for row in offers])
        raise SettingsInvalid(
            f"E01 there is no offer '{segment.spec.offer}' with a risk level{hint}",
            file=segment.file,
            line=segment.line("offer"),
        )
    return str(max(risks))


def _write_tables(
    lake: Lake, connection: duckdb.DuckDBPyConnection, decisions: list[Decision], business_date: date
) -> None:
    """Write what was decided; dates are replaced, dictionaries only grow."""
    import pyarrow as pa

    members, changes = member_rows(connection, decisions, business_date)
    lake.replace_partition("segments.members", members, as_of=business_date)
    lake.replace_partition("segments.changes", changes, as_of=business_date)
    suppressions = suppression_rows(connection, decisions, business_date)
    lake.replace_partition("segments.suppressions", suppressions, as_of=business_date)
    lake.extend_dictionary("segments.assignments", assignment_rows(decisions, business_date))
    extend_rows(lake, "segments.definitions", definition_rows(decisions))
    runs = pa.Table.from_pylist(
        run_rows(lake, decisions, business_date), schema=contract("segments.runs").arrow_schema()
    )
    lake.replace_partition("segments.runs", runs, as_of=business_date)


def _write_recipients(lake: Lake, audiences: Sequence[StagedAudience]) -> None:
    import pyarrow as pa

    parts = [
        pa.table(
            {
                "destination": pa.array([audience.destination] * audience.recipients.num_rows, pa.string()),
                "recipient_key": audience.recipients["recipient_key"],
                "one_id": audience.recipients["one_id"],
            }
        )
        for audience in audiences
    ]
    if parts:
        together = pa.concat_tables(parts)
        unique = together.group_by(["destination", "recipient_key", "one_id"]).aggregate([]).sort_by(
            [("destination", "ascending"), ("recipient_key", "ascending")]
        )  # fmt: skip
        lake.extend_dictionary("segments.recipients", unique)
