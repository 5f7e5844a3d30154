"""The 360 view of one person: who it is, what is known, held, done, agreed to and sent, and in which audiences; from a publication.

Every section is a question to the reading desk, as ``cdp sql`` asks it: what contracts call ``masked`` is a pseudonym unless it is
revealed. Identifiers and keys of records are masked as ``cdp identity show`` masks them. Restricted tags are never shown by value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.query.published import Publication, Published
from lakehouse.query.question import parse_question
from lakehouse.query.reading import answer, published_table, types_of
from lakehouse.query.words import literal
from lakehouse.settings.settings import Settings
from lakehouse.texts import reason_text, text
from segments.explaining.explain import LOSS_COLUMNS, ContactLoss
from segments.grouping.declaration import read_micro_sets
from segments.language.leaves.micro_segments import TABLE as MICRO_TABLE
from vocabulary.contact_rules import lake_place, receipts_sql
from vocabulary.tag_facts import TagFacts, read_tag_facts

if TYPE_CHECKING:
    from lakehouse.query.masks import Masks

Rows = list[dict[str, Any]]
RESTRICTED = "RESTRICTED"
# Columns of golden records that tell of the record and not of the person.
_NOT_SHOWN = ("one_id", "valid_from", "valid_to")
_TAGS = "tags.customer_tags"
_LOSSES = "segments.contact_losses"
# Names of a loss beside which a row of segments has others.
_LOSS_NAMES = {"reason": "contact_reason", "rule": "contact_rule"}


@dataclass(frozen=True)
class CustomerView:
    """All sections of one person; each is a list of rows with the same names, ``golden`` one row."""

    one_id: int
    merged_from: int | None
    business_date: date
    kind: str
    status: str
    is_revealed: bool
    profiles: Rows
    identifiers: Rows
    golden: dict[str, Any]
    tags: Rows
    holdings: Rows
    events: Rows
    consents: Rows
    contacts: Rows
    segments: Rows
    micro_segments: Rows

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def read_customer(published: Published, one_id: int, *, most: int, reveal: str | None = None) -> CustomerView:
    """Give the view of a OneID; a merged one leads to its successor, an unknown one raises ``PersonNotShown``.

    One of another branch than those whose people the user is shown raises ``UsageError``. ``most`` bounds the last events and contacts. The
    look-up is recorded before anything is given, also one that finds nobody, and a reveal with its reason, too.
    """
    from identity.explaining.show import show_person
    from jobs.report.reveals import record_lookup, record_reveal, recorded_misses, refuse_other_branches
    from jobs.report.statement import ReaderMasks

    settings, publication = published.settings, published.publication
    is_revealed = reveal is not None
    refuse_other_branches(published, "customer show", one_id)
    with recorded_misses(settings, "customer show", publication):
        person = show_person(published, one_id, is_revealed=is_revealed)
    masks: Masks = (lambda table, columns: {}) if is_revealed else ReaderMasks(settings)
    desk = _Sections(settings, publication, masks, person.one_id)
    if reveal is not None:
        record_reveal(settings, reveal.strip(), publication, desk.tables())
    record_lookup(settings, "customer show", publication, [person.one_id], is_revealed=is_revealed)
    return CustomerView(
        one_id=person.one_id,
        merged_from=one_id if one_id != person.one_id else None,
        business_date=publication.business_date,
        kind=person.facts["kind"],
        status=person.facts["status"],
        is_revealed=is_revealed,
        profiles=[
            {"source": p["source"], "source_key": p["source_key"], "since": p["valid_from"]}
            for p in person.profiles
        ],
        identifiers=desk.rows("identifiers") if is_revealed else _masked_identifiers(person.links),
        golden=_golden(desk.rows("golden")),
        tags=_tags(settings, desk.rows("tags"), desk.rows("catalogue")),
        holdings=desk.rows("holdings"),
        events=desk.rows("events", most),
        consents=desk.rows("consents"),
        contacts=desk.rows("contacts", most),
        segments=[_with_outcome(row) for row in desk.rows("segments")],
        micro_segments=_with_names(settings, desk.rows("micro_segments")),
    )


class _Sections:
    """Asks the sections of one person, each as a question of a reader."""

    def __init__(self, settings: Settings, publication: Publication, masks: Masks, one_id: int) -> None:
        self.settings, self.publication, self.masks = settings, publication, masks
        # A publication from before there was contact policy has no losses, an older one not all of their columns.
        losses = published_table(settings, publication, _LOSSES) if _LOSSES in publication.tables else None
        columns = frozenset(types_of(losses)) if losses is not None else frozenset()
        self.statements = _statements(one_id, publication.business_date, settings.language, columns)

    def tables(self) -> list[str]:
        """Give every table that is published and asked."""
        names = {name for sql in self.statements.values() for name in parse_question(sql).tables}
        return sorted(names & set(self.publication.tables))

    def rows(self, section: str, most: int | None = None) -> Rows:
        """Give the rows of a section; none where a table of it is not published."""
        limit = "" if most is None else f" LIMIT {most}"
        question = parse_question(self.statements[section] + limit)
        if not set(question.tables) <= set(self.publication.tables):
            return []
        result = answer(question, self.settings, self.publication, self.masks)
        return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def _statements(one_id: int, day: date, language: str, loss_columns: Set[str]) -> dict[str, str]:
    person, today = literal(one_id), literal(day)
    loss = ", ".join(
        f"{f'l.{column}' if column in loss_columns else 'NULL'} AS {_LOSS_NAMES.get(column, column)}"
        for column in LOSS_COLUMNS
    )
    losses = (
        f"LEFT JOIN {_LOSSES} l ON l.code = r.code AND l.as_of = r.as_of AND l.one_id = {person}\n"
        if loss_columns
        else ""
    )
    profiles = (
        "JOIN identity.memberships m ON m.source = {0}.source AND m.source_key = {0}.source_key"
        f" AND m.valid_to IS NULL AND m.one_id = {person}"
    )
    return {
        "identifiers": "SELECT DISTINCT o.namespace, o.value, o.role, o.source FROM trusted.identifier_observations o "
        f"{profiles.format('o')} WHERE o.valid_to IS NULL ORDER BY ALL",
        "golden": f"SELECT * FROM identity.golden_records WHERE one_id = {person} AND valid_to IS NULL",
        "tags": f"SELECT * FROM {_TAGS} WHERE one_id = {person}",
        "catalogue": f"SELECT code, name_{language} AS name, definition_{language} AS meaning, level, purposes FROM tags.catalogue ORDER BY number",
        "holdings": "SELECT h.source, h.product_class, h.product_id, p.name AS product, h.balance, h.currency, h.risk_level, "
        "h.purchased_on, h.matures_on, h.status, r.role FROM trusted.holdings h\n"
        "JOIN trusted.relationships r ON r.relationship_type = 'person_account' AND r.role IN ('owner', 'co_holder') "
        "AND r.valid_to IS NULL AND r.to_source = h.source AND r.to_key = h.account_id "
        f"AND (r.started_on IS NULL OR r.started_on <= {today}) AND (r.ended_on IS NULL OR r.ended_on > {today})\n"
        "JOIN identity.memberships m ON m.source = r.from_source AND m.source_key = r.from_key AND m.valid_to IS NULL "
        f"AND m.one_id = {person}\n"
        "LEFT JOIN (SELECT source, product_id, min(name) AS name FROM trusted.products WHERE valid_to IS NULL GROUP BY ALL) p "
        "ON p.source = h.source AND p.product_id = h.product_id\n"
        "WHERE h.valid_to IS NULL ORDER BY h.matures_on NULLS LAST, h.product_class, h.holding_id",
        "events": "SELECT e.occurred_at, e.event_name, e.source, e.channel, e.app_id, e.item_class, e.item_id, e.amount, e.currency, "
        f"e.is_success FROM trusted.events e {profiles.format('e')}\n"
        f"WHERE e._arrived_on <= {today} AND e.occurred_on <= {today} ORDER BY e.occurred_at DESC, e.source, e.event_id",
        "consents": "SELECT c.purpose, c.channel, c.decision, c.decided_at, c.expires_on, c.source FROM trusted.consents c "
        f"{profiles.format('c')} WHERE c.valid_to IS NULL ORDER BY c.purpose, c.channel, c.decided_at DESC, c.source",
        "contacts": "SELECT a.event_at, v.code AS segment, a.destination, a.channel, a.status, a.purpose\n"
        f"FROM ({receipts_sql(lake_place(day))}) a\n"
        "LEFT JOIN segments.deliveries v ON v.destination = a.destination AND v.run_id = a.run_id\n"
        f"WHERE a.one_id = {person} ORDER BY a.event_at DESC, a.source, a.receipt_id",
        "segments": "SELECT r.code, r.version, m.variant, m.holdout, m.channel, m.entered_on, s.reason, "
        f"{loss} FROM segments.runs r\n"
        f"LEFT JOIN segments.members m ON m.code = r.code AND m.as_of = r.as_of AND m.one_id = {person}\n"
        f"LEFT JOIN segments.suppressions s ON s.code = r.code AND s.as_of = r.as_of AND s.one_id = {person}\n"
        f"{losses}WHERE r.as_of = {today} AND (m.one_id IS NOT NULL OR s.one_id IS NOT NULL) ORDER BY r.code",
        "micro_segments": f"SELECT code, label FROM {MICRO_TABLE} WHERE as_of = {today} AND one_id = {person} ORDER BY code",
    }


def _with_names(settings: Settings, rows: Rows) -> Rows:
    """Give the micro-segments of a person with the names that the workspace has for them."""
    sets = {one.code: one for one in read_micro_sets(settings.workspace)} if rows else {}
    names = {
        row["code"]: sets[row["code"]].name_of(row["label"], settings.language)
        if row["code"] in sets
        else None
        for row in rows
    }
    return [row | {"name": names[row["code"]]} for row in rows]


def _masked_identifiers(links: Rows) -> Rows:
    """Give each identifier that a person carries once, masked, with the number of records that carry it."""
    names = ("namespace", "masked", "verified", "status")
    records = Counter(tuple(link[name] for name in names) for link in links)
    return [
        {"namespace": namespace, "value": mask, "verified": verified, "status": status, "records": number}
        for (namespace, mask, verified, status), number in sorted(records.items())
    ]


def _golden(rows: Rows) -> dict[str, Any]:
    """Give what the golden record states, without the records that state it and the columns of the pipeline."""
    return {
        name: value
        for row in rows
        for name, value in row.items()
        if value is not None
        and name not in _NOT_SHOWN
        and not name.startswith("_")
        and not name.endswith("_profile_id")
    }


def _tags(settings: Settings, rows: Rows, catalogue: Rows) -> Rows:
    """Give every tag of the table with its name and meaning as they were published; null is a tag without a value.

    A tag is restricted that was so then or is so by now.
    """
    from tags import REGISTRY

    facts = read_tag_facts(settings.workspace, shipped=REGISTRY)
    return [
        {
            "tag": entry["code"],
            "name": entry["name"],
            "value": RESTRICTED if _is_restricted(entry, facts.get(entry["code"])) else row[entry["code"]],
            "meaning": " ".join(entry["meaning"].split()),
        }
        for row in rows
        for entry in catalogue
        if entry["code"] in row
    ]


def _is_restricted(entry: dict[str, Any], fact: TagFacts | None) -> bool:
    published = TagFacts(entry["code"], "category", purposes=tuple(entry["purposes"] or ()))
    return published.is_restricted or entry["level"] == "C3" or (fact is not None and fact.is_restricted)


def _with_outcome(row: dict[str, Any]) -> dict[str, Any]:
    """Give what became of the person in a segment, in words."""
    if row["reason"]:
        sentence = f"{text('outcome.suppressed', reason=row['reason'])} ({reason_text(row['reason'])})"
    elif row["holdout"] != "NONE":
        sentence = text("outcome.control", holdout=row["holdout"])
    elif row["variant"] == "CONTAMINATED":
        sentence = text("outcome.contaminated")
    elif row["contact_reason"]:
        loss = ContactLoss(*(row[_LOSS_NAMES.get(column, column)] for column in LOSS_COLUMNS))
        sentence = text("outcome.not_contacted", reason=loss.sentence)
    else:
        sentence = text("outcome.published")
    return row | {"outcome": sentence}
