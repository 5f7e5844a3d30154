"""What the segments of a business date are decided from, read once for all of them, from a lake or from a publication."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StepFailed
from segments.approving.standing import Barrier
from segments.choosing.compile import (
    MEMBERSHIPS,
    PERSONS_SQL,
    TAG_TABLE,
    LeafTable,
    Leaves,
    compile_leaf_table,
    published_tags,
    tag_uses,
)
from segments.choosing.earlier import EarlierNights, read_earlier_nights
from segments.choosing.leaf_tables import duckdb_sql
from segments.language.checks.findings import Site, SpecFinding, refuse_findings
from segments.language.conditions import EventLeaf, ListLeaf
from segments.language.leaves.dates import DateLeaf, RowDate
from segments.language.leaves.rows import EVENTS, RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.lists import StaticList, read_list
from segments.language.offers import COLUMNS as OFFER_COLUMNS
from segments.language.offers import TABLE as OFFERS_TABLE
from segments.language.offers import Offers, offer_faults, open_offers
from segments.language.segment_leaves import all_leaves, entity_leaves, measured_tags, read_leaves
from segments.language.spec import Segment
from vocabulary.contact_rules import lake_place
from vocabulary.relations import RELATED, entity_people_sql

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader

QUALITY = "quality.tag_quality"
MOST_SHOWN = 5
# Makes the leaf table of a compiled query, of the lists that it reads and of the people of companies and households.
LeafMaker = Callable[[LeafTable, dict[str, StaticList], Mapping[str, "Relation"]], Leaves]


@dataclass(frozen=True)
class NightInputs:
    """What one business date decides by; the relations are those of one desk."""

    leaves: Leaves
    earlier: EarlierNights
    list_hashes: Mapping[str, tuple[int, str]]
    """The entries that hold and the sha256 of the file, of every list that is read."""
    offers: Offers
    people_of: Mapping[str, Relation]
    """entity_key and one_id of the people of every company or household, by entity; of those that segments choose from."""

    def belonging(self, segment: Segment) -> Relation | None:
        """Give who belongs to the companies or households a segment chooses from; None where it chooses persons."""
        return self.people_of.get(segment.spec.entity)

    def offer_risk(self, segment: Segment) -> str | None:
        """Give the risk level of a segment's offer; None where it offers nothing."""
        return self.offers[segment.spec.offer] if segment.spec.offer else None


def read_inputs(
    reader: TableReader,
    desk: Desk,
    segments: Sequence[Segment],
    site: Site,
    business_date: date,
    make_leaves: LeafMaker,
) -> NightInputs:
    """Read what these segments are decided from.

    An offer that is not open raises ``SettingsInvalid``; a tag that was never built ``StepFailed``.
    """
    _refuse_missing_tags(reader, segments)
    lists = read_lists(site.workspace, segments)
    offers = read_offers(reader)
    refuse_findings(
        SpecFinding("E01", fault, segment.file, segment.line("offer"))
        for segment, fault in offer_faults(segments, offers)
    )
    leaf_table = compile_leaf_table(segments, business_date=business_date, policy=site.policy)
    people_of = _people_of(reader, desk, segments, business_date)
    return NightInputs(
        make_leaves(leaf_table, lists, people_of),
        read_earlier_nights(reader, desk, business_date),
        {ref: (entry.holding(business_date).num_rows, entry.sha256) for ref, entry in lists.items()},
        offers,
        people_of,
    )


def _people_of(
    reader: TableReader, desk: Desk, segments: Sequence[Segment], business_date: date
) -> dict[str, Relation]:
    people: dict[str, Relation] = {}
    for entity in sorted({segment.spec.entity for segment in segments if segment.is_collective}):
        sql = f"WITH persons AS ({PERSONS_SQL})\n{entity_people_sql(entity, lake_place(business_date))}"
        query = duckdb_sql(reader, desk, sql, (MEMBERSHIPS, RELATED), {})
        people[entity] = desk.keep(f"people_of_{entity}", query)
    return people


def read_offers(reader: TableReader) -> Offers:
    """Give the open offers; none where the table is not there."""
    if not reader.exists(OFFERS_TABLE):
        return {}
    return open_offers(reader.read_arrow(OFFERS_TABLE, columns=OFFER_COLUMNS).to_pylist())


def read_lists(workspace: Path, segments: Sequence[Segment]) -> dict[str, StaticList]:
    """Give the lists that segments name, by their references."""
    leaves = {x.reference: x for s in segments for x in read_leaves(s) if isinstance(x, ListLeaf)}
    return {reference: read_list(workspace, leaf) for reference, leaf in sorted(leaves.items())}


def _refuse_missing_tags(reader: TableReader, segments: Sequence[Segment]) -> None:
    """Refuse a tag that is online in the registry but was never built, before Spark complains about a column."""
    present = {f.name for f in reader.delta(TAG_TABLE).schema().fields}
    for segment in segments:
        leaf_tags = [(tag, leaf.line) for leaf in all_leaves(segment) for tag in leaf.tags]
        leaf_tags += [(tag, leaf.line) for leaf in entity_leaves(segment) for tag in leaf.tags]
        for tag, line in [
            *leaf_tags,
            *((tag, segment.line("publish", "columns")) for tag in published_tags(segment)),
            *((tag, segment.line("addressee")) for tag in measured_tags(segment)),
        ]:
            if tag not in present:
                raise StepFailed(
                    f"tag '{tag}' is not in {TAG_TABLE} yet; build the tags first",
                    file=segment.file,
                    line=line,
                )


@dataclass(frozen=True)
class StaleTag:
    """A tag that a night did not compute, since its source is late or it is a monthly one.

    Its values are of a day, or were the last time it had any: then it ``is_lost``, and null for everybody.
    """

    tag: str
    late_days: int
    value_on: date
    is_lost: bool = False


def stale_tags(reader: TableReader, business_date: date) -> dict[str, StaleTag]:
    """Give the tags of a night whose values are held, or null, because a source is late or the month has its values already."""
    if not reader.exists(QUALITY):
        return {}
    columns = ["tag", "late_days", "value_on", "late_count", "people_count"]
    present = {field.name for field in reader.delta(QUALITY).schema().fields}
    if not set(columns) <= present:
        return {}
    rows = reader.read_arrow(QUALITY, columns=columns, filters=[("as_of", "=", business_date)]).to_pylist()
    return {
        row["tag"]: StaleTag(
            row["tag"],
            row["late_days"],
            row["value_on"],
            is_lost=0 < row["people_count"] == (row["late_count"] or 0),
        )
        for row in rows
        if row["value_on"] is not None and row["value_on"] < business_date
    }


def late_warnings(
    segments: Iterable[Segment],
    stale: Mapping[str, StaleTag],
    late_tables: Mapping[str, date],
    business_date: date,
) -> tuple[list[str], dict[str, Barrier]]:
    """Give a sentence for each segment that goes on with late tags or rows, and a barrier for each that does not want such tags.

    ``late_tables`` have the day up to which each is delivered.
    """
    warnings: list[str] = []
    barriers: dict[str, Barrier] = {}
    for segment in segments if stale or late_tables else ():
        tags = sorted(set(tag_uses(segment)) & set(stale))
        is_late = any(stale[tag].late_days for tag in tags)
        sentences = _stale_sentences([stale[tag] for tag in tags])
        oldest = min((stale[tag].value_on for tag in tags), default=business_date)
        most = segment.spec.schedule.max_tag_staleness_days
        if most is not None and (business_date - oldest).days > most:
            words = "; ".join(sentences)
            barriers[segment.code] = Barrier(
                segment, "late", f"{words}; schedule.max_tag_staleness_days is {most}"
            )
        elif is_late:
            warnings.append(f"segment {segment.code} is decided by late tags: {'; '.join(sentences)}")
        for table in sorted(_row_tables(segment) & late_tables.keys()):
            warnings.append(
                f"segment {segment.code} is decided by late rows: those of {table} reach to {late_tables[table]}"
            )
    return warnings, barriers


def _stale_sentences(tags: list[StaleTag]) -> list[str]:
    """Say of which day the values of tags are, and which have none."""
    sentences = []
    for is_lost in (False, True):
        some = [one for one in tags if one.is_lost is is_lost]
        if not some:
            continue
        more = f" and {len(some) - MOST_SHOWN} more" if len(some) > MOST_SHOWN else ""
        names = f"its tags {', '.join(one.tag for one in some[:MOST_SHOWN])}{more}"
        oldest = min(one.value_on for one in some)
        is_late = any(one.late_days for one in some)
        cause = "since a source is late" if is_late else "since they are held for the month"
        what = f"have no value for anybody, the last ones were of {oldest}" if is_lost else f"are of {oldest}"
        sentences.append(f"{names} {what}, {cause}")
    return sentences


def _row_tables(segment: Segment) -> set[str]:
    """Give the tables whose rows a rule asks, with those they look up on their way to a person."""
    tables: set[str] = set()
    for leaf in read_leaves(segment):
        rows = leaf.of if isinstance(leaf, DateLeaf) else leaf
        if isinstance(rows, (RowLeaf, RowDate)):
            tables |= {rows.table, *(step.to for step in rows.way)}
        elif isinstance(rows, (EventLeaf, SequenceLeaf)):
            tables.add(EVENTS)
    return tables
