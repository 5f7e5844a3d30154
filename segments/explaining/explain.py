"""Why a person is, or is not, in a segment's audience: every leaf's answer, suppression, arm, delivery. No JVM.

Read from the publication of the business date. Restricted tags are shown as RESTRICTED and never by value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.errors import PersonNotShown
from lakehouse.query.published import Published, open_publication
from lakehouse.query.words import identifier, literal
from lakehouse.settings.settings import Settings
from lakehouse.texts import reason_text, text
from segments.approving.standing import read_authority, standings
from segments.choosing.leaves.ranks import TIE_LENGTH
from segments.choosing.person_leaves import one_person_sql
from segments.contacting.problem import CAPPED
from segments.explaining.entities import EntityAnswers, entities_of
from segments.language.catalogue import Catalogue, read_catalogue
from segments.language.checks.findings import Surroundings
from segments.language.conditions import (
    All,
    Answer,
    Any_,
    EntityLeaf,
    EventLeaf,
    Leaf,
    ListLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    decide,
    kleene_all,
    kleene_any,
    person_leaves,
)
from segments.language.leaves.people import RankLeaf, SampleLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.lists import list_file, read_list
from segments.language.operators import answer, compare_number
from segments.language.spec import Segment, read_version
from vocabulary.buckets import bucket

RESTRICTED = "RESTRICTED"
LOSS_COLUMNS = ("reason", "rule", "winner", "winner_run_id", "winner_contact_on", "advantage", "margin")


@dataclass(frozen=True)
class Line:
    """One condition of the rule with its answer and, for a leaf, what it rests on.

    Of one that asks for a tag that may only exclude there is no answer, and none of the conditions it is part of: ``is_withheld``.
    """

    depth: int
    text: str
    answer: Answer
    evidence: str = ""
    is_withheld: bool = False


@dataclass(frozen=True)
class ContactLoss:
    """Why a member was not contacted: the rule, the segment and run that won, on which earlier day, and by what and how much."""

    reason: str
    rule: str
    winner: str | None
    winner_run_id: str | None
    winner_contact_on: date | None
    advantage: str | None
    margin: float | None

    @property
    def sentence(self) -> str:
        """The reason with its meaning, the rule and the winner, in the site's language; of the winner no more than segment, run and day."""
        out = text("loss.reason", reason=self.reason, meaning=reason_text(self.reason), rule=self.rule)
        if self.winner is None:
            return out
        # Who lost before advantages were recorded, or to a segment of an earlier night.
        key = self.advantage or "unknown"
        if key == "EARLIER_CONTACT" and self.reason != CAPPED:
            key = "APART"
        return out + text(
            f"winner.{key}",
            winner=self.winner,
            run=self.winner_run_id or "-",
            day=self.winner_contact_on or "-",
            margin=f"{self.margin or 0:g}",
        )


@dataclass(frozen=True)
class Explanation:
    """All there is to say about one person and one segment on one business date."""

    code: str
    version: str
    one_id: int
    business_date: date
    lines: list[Line]
    answer: Answer
    unknown_means: str
    suppression: str | None
    variant: str | None
    holdout: str | None
    channel: str | None
    is_member: bool
    loss: ContactLoss | None = None
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    redirected_from: int | None = None
    notes: list[str] = field(default_factory=list)
    is_addressed: bool = True
    """False where the person belongs to a chosen company or household that is contacted through somebody else, and to none through this one."""

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        meaning = reason_text(self.suppression) if self.suppression else None
        return asdict(self) | {"suppression_meaning": meaning, "outcome": self.outcome}

    @property
    def outcome(self) -> str:
        """One sentence: what became of the person."""
        if self.suppression:
            return text("outcome.suppressed", reason=self.suppression)
        if not self.is_member:
            treated_as = (
                self.answer if self.answer is not None else {"include": True}.get(self.unknown_means, False)
            )
            if treated_as and not self.is_addressed:
                return text("outcome.other_addressee")
            return text("outcome.outside_rollout" if treated_as else "outcome.not_chosen")
        if self.holdout != "NONE":
            return text("outcome.control", holdout=self.holdout)
        if self.variant == "CONTAMINATED":
            return text("outcome.contaminated")
        if self.loss is not None:
            return text("outcome.not_contacted", reason=self.loss.reason)
        return text("outcome.published" if self.deliveries else "outcome.to_be_published")


def explain(
    settings: Settings,
    surroundings: Surroundings,
    code: str,
    one_id: int,
    business_date: date | None = None,
) -> Explanation:
    """Explain one person and one segment from the newest publication, or from that of ``business_date``.

    The rule is the one that the night evaluated, with its parameters; that of the file where it evaluated none. Unknown codes raise ``UsageError``, people without a tag row ``PersonNotShown``.
    """
    published = open_publication(settings, business_date)
    day = published.publication.business_date
    catalogue = read_catalogue(settings, surroundings, known_hashes={})
    segment, notes = _evaluated(published, catalogue, code, day)
    person = _redirected(published, one_id)
    row = _tag_row(published, person)
    if row is None:
        raise PersonNotShown(
            f"OneID {one_id} has no tags as of {day}: it is unknown, anonymous or retired",
            identifier="one_id", refusal="nobody",
        )  # fmt: skip
    facts = _Facts(published, catalogue, segment, person, day, row)
    entities = entities_of(published, catalogue, segment, person) if segment.is_collective else []
    lines = (
        _entity_lines(segment, entities, facts)
        if segment.is_collective
        else _lines(segment, facts, catalogue)
    )
    loss = _contact_loss(published, code, day, person)
    return Explanation(
        code=code,
        version=segment.version,
        one_id=person,
        business_date=day,
        lines=lines,
        answer=kleene_any([decide(segment.rule, one.answer) for one in entities])
        if segment.is_collective
        else decide(segment.rule, facts.answer),
        unknown_means=segment.unknown,
        suppression=_one(published, "segments.suppressions", "reason", code, day, person),
        variant=_one(published, "segments.members", "variant", code, day, person),
        holdout=_one(published, "segments.members", "holdout", code, day, person),
        channel=_one(published, "segments.members", "channel", code, day, person),
        is_member=_one(published, "segments.members", "one_id", code, day, person) is not None,
        loss=loss,
        deliveries=_deliveries(published, code, day, person) if loss is None else [],
        redirected_from=one_id if person != one_id else None,
        notes=[
            *notes,
            *_barrier_notes(settings, catalogue, segment, day),
            *_entity_notes(segment, entities),
        ],
        is_addressed=not segment.is_collective or any(one.addressee == person for one in entities),
    )


class _Facts:
    """Answers leaves for one person from published tables, each leaf once."""

    def __init__(
        self,
        published: Published,
        catalogue: Catalogue,
        segment: Segment,
        one_id: int,
        day: date,
        tags: dict[str, Any],
    ) -> None:
        self.published, self.catalogue, self.segment = published, catalogue, segment
        self.one_id, self.day, self.tags = one_id, day, tags
        self._known: dict[str, tuple[Answer, str]] = {}

    def answer(self, leaf: Leaf) -> Answer:
        return self.look_up(leaf)[0]

    def look_up(self, leaf: Leaf) -> tuple[Answer, str]:
        """Give a leaf's answer and what it rests on."""
        if leaf.column not in self._known:
            kinds: dict[type[Leaf], Callable[[Any], tuple[Answer, str]]] = {
                TagLeaf: self._tag, EventLeaf: self._event, ListLeaf: self._list, SegmentLeaf: self._segment,
                SampleLeaf: self._sample, RankLeaf: self._rank,
            }  # fmt: skip
            self._known[leaf.column] = kinds.get(type(leaf), self._by_query)(leaf)
        return self._known[leaf.column]

    def _by_query(self, leaf: Leaf) -> tuple[Answer, str]:
        """Ask the leaf's own SQL, as the leaf table does, of this person alone."""
        missing = [tag for tag in leaf.tags if tag not in self.tags]
        if missing:
            return None, "not in the tag table of that day"
        sql = one_person_sql(leaf, self.one_id, self.day)
        value, evidence = self.published.rows(sql)[0]
        return value, self._evidence(leaf, "nothing" if evidence is None else str(evidence))

    def _sample(self, leaf: SampleLeaf) -> tuple[Answer, str]:
        number = bucket(leaf.salt, self.one_id)
        return number < leaf.buckets, f"bucket {number} of those below {leaf.buckets}"

    def _rank(self, leaf: RankLeaf) -> tuple[Answer, str]:
        """Compare with the cut that the night recorded."""
        group = self.segment.ranked_group(leaf)
        in_group = True if group is None else decide(group, self.answer)
        if in_group is False:
            return False, "not in the group that is ranked"
        value = self.tags.get(leaf.tag)
        if in_group is None or value is None:
            return None, "null" if value is None else "it is unknown whether in the group that is ranked"
        rows = self.published.rows(
            "SELECT params FROM segments.runs WHERE code = ? AND as_of = ?", [self.segment.code, self.day]
        )
        limit_row = json.loads(rows[0][0]).get("cuts", {}).get(leaf.column) if rows else None
        if limit_row is None:
            return None, "no cut of that day is recorded"
        if limit_row["value"] is None:
            return False, "nobody was ranked"
        limit = (
            type(value).fromisoformat(limit_row["value"])
            if isinstance(value, date)
            else Decimal(limit_row["value"])
        )
        tie = sha256(f"{leaf.salt}|{self.one_id}".encode()).hexdigest()[:TIE_LENGTH]
        is_in = value > limit or (value == limit and tie <= limit_row["tie"])
        return is_in, f"{_text(value)}, the cut is {limit_row['value']} with {limit_row['people']} people"

    def _evidence(self, leaf: Leaf, evidence: str) -> str:
        facts = [self.catalogue.site.tags.get(tag) for tag in leaf.tags]
        return RESTRICTED if any(fact is not None and fact.is_restricted for fact in facts) else evidence

    def _tag(self, leaf: TagLeaf) -> tuple[Answer, str]:
        fact = self.catalogue.site.tags.get(leaf.tag)
        if leaf.tag not in self.tags:
            return None, "not in the tag table of that day"
        value = self.tags[leaf.tag]
        answers = []
        for test in leaf.tests:
            before = self._before(leaf.tag, test.operand) if test.operator == "changed_since" else []
            answers.append(
                answer(
                    test,
                    value,
                    business_date=self.day,
                    before=before[0] if before else None,
                    has_before=bool(before),
                )
            )
        if fact is not None and fact.is_restricted:
            return kleene_all(answers), RESTRICTED
        return kleene_all(answers), "null" if value is None else _text(value)

    def _before(self, tag: str, days: int) -> list[Any]:
        rows = self.published.rows(
            f"SELECT {identifier(tag)} FROM tags.customer_tags_daily WHERE one_id = ? AND as_of = ?",
            [self.one_id, self.day - timedelta(days=days)],
        )
        return [row[0] for row in rows]

    def _event(self, leaf: EventLeaf) -> tuple[Answer, str]:
        filters = "".join(f" AND e.{identifier(key)} = ?" for key, _ in leaf.filters)
        names = ", ".join("?" for _ in leaf.names)
        rows = self.published.rows(
            "SELECT count(*) FROM trusted.events e JOIN identity.memberships m"
            " ON m.source = e.source AND m.source_key = e.source_key AND m.valid_to IS NULL"
            f" WHERE m.one_id = ? AND e._arrived_on <= ? AND e.occurred_on BETWEEN ? AND ? AND e.event_name IN ({names}){filters}",
            [self.one_id, self.day, self.day - timedelta(days=leaf.within_days - 1), self.day, *leaf.names]
            + [value for _, value in leaf.filters],
        )
        return compare_number(int(rows[0][0]), leaf.count), str(rows[0][0])

    def _list(self, leaf: ListLeaf) -> tuple[Answer, str]:
        if not list_file(self.catalogue.site.workspace, leaf).is_file():
            return None, "the list is gone"
        entries = read_list(self.catalogue.site.workspace, leaf).holding(self.day)
        earlier = self.published.rows(
            "SELECT from_one_id FROM identity.redirects WHERE to_one_id = ?", [self.one_id]
        )
        profiles = self.published.rows(
            "SELECT source, source_key FROM identity.memberships WHERE one_id = ? AND valid_to IS NULL",
            [self.one_id],
        )
        own = [self.one_id, *(row[0] for row in earlier)]
        keys = [f"{source}\x1f{key}" for source, key in profiles]
        lent = self.published.lend("list entries", entries)
        is_on_list = bool(
            self.published.rows(
                f"SELECT 1 FROM {lent} WHERE one_id IN (SELECT unnest(?::BIGINT[]))"
                " OR concat(source, chr(31), source_key) IN (SELECT unnest(?::VARCHAR[])) LIMIT 1",
                [own, keys],
            )
        )
        return is_on_list, "on the list" if is_on_list else "not on the list"

    def _segment(self, leaf: SegmentLeaf) -> tuple[Answer, str]:
        is_member = (
            _one(self.published, "segments.members", "one_id", leaf.segment, self.day, self.one_id)
            is not None
        )
        return is_member, "member" if is_member else "no member"


def _entity_lines(segment: Segment, entities: list[EntityAnswers], person: _Facts) -> list[Line]:
    """Give the lines of every company or household; below what its people answer stands what this person does."""
    lines = []
    for one in entities:
        lines.append(Line(0, f"{segment.spec.entity} {one.key}", decide(segment.rule, one.answer), _who(one)))
        lines += _lines(segment, one, person.catalogue, person=person, depth=1)
    return lines


def _who(entity: EntityAnswers) -> str:
    return f"contacted through OneID {entity.addressee}" if entity.addressee is not None else "not contacted"


def _entity_notes(segment: Segment, entities: list[EntityAnswers]) -> list[str]:
    if not segment.is_collective or entities:
        return []
    return [f"the person belongs to no {segment.spec.entity} on that day"]


def _lines(
    segment: Segment,
    facts: _Facts | EntityAnswers,
    catalogue: Catalogue,
    *,
    person: _Facts | None = None,
    depth: int = 0,
) -> list[Line]:
    lines: list[Line] = []

    def line(depth: int, text: str, node: Node, facts: _Facts | EntityAnswers, evidence: str = "") -> Line:
        if _is_restricted(node, catalogue):
            return Line(depth, text, None, RESTRICTED, is_withheld=True)
        return Line(depth, text, decide(node, facts.answer), evidence)

    def add(node: Node, depth: int, facts: _Facts | EntityAnswers) -> None:
        if isinstance(node, (All, Any_)):
            lines.append(line(depth, connector_text(node), node, facts))
            for part in node.parts:
                add(part, depth + 1, facts)
        elif isinstance(node, Not):
            lines.append(line(depth, connector_text(node), node, facts))
            add(node.part, depth + 1, facts)
        else:
            lines.append(line(depth, question_text(node), node, facts, facts.look_up(node)[1]))
            if isinstance(node, EntityLeaf) and node.inside is not None and person is not None:
                lines.append(line(depth + 1, "this person", node.inside, person))
                add(node.inside, depth + 2, person)

    for name, nodes in (
        ("base", [segment.base] if segment.base is not None else []),
        ("where", [segment.where] if segment.where is not None else []),
        ("include", list(segment.include)),
        ("exclude", list(segment.exclude)),
    ):
        for node in nodes:
            lines.append(line(depth, name, node, facts))
            add(node, depth + 1, facts)
    return lines


def _is_restricted(node: Node, catalogue: Catalogue) -> bool:
    """Tell whether a condition asks for a tag that may only exclude."""
    facts = (catalogue.site.tags.get(tag) for leaf, _ in person_leaves(node) for tag in leaf.tags)
    return any(fact is not None and fact.is_restricted for fact in facts)


def connector_text(node: All | Any_ | Not) -> str:
    """Give what joins conditions as people read it."""
    if isinstance(node, Not):
        return text("explain.none_of")
    return text("explain.all_of" if isinstance(node, All) else "explain.any_of")


def question_text(leaf: Leaf) -> str:
    """Give a leaf as people read it, with what its unknown counts as where the file says so."""
    if leaf.include_unknown is None:
        return leaf_text(leaf)
    meaning = text("explain.counts_as_true" if leaf.include_unknown else "explain.counts_as_false")
    return f"{leaf_text(leaf)} ({meaning})"


def leaf_text(leaf: Leaf) -> str:
    """Give a leaf as people read it; operators and keys are those of the file."""
    if isinstance(leaf, TagLeaf):
        tests = ", ".join(f"{t.operator} {_text(t.operand)}" for t in leaf.tests)
        return text("explain.tag", tag=leaf.tag, tests=tests)
    if isinstance(leaf, EventLeaf):
        count = ", ".join(f"{sign} {bound}" for sign, bound in sorted(leaf.count.items()))
        filters = "".join(f", {name} {_text(value)}" for name, value in leaf.filters)
        names = text("explain.or").join(leaf.names)
        return text("explain.event", names=names, filters=filters, count=count, days=leaf.within_days)
    if isinstance(leaf, ListLeaf):
        return text("explain.list", list=leaf.reference)
    if isinstance(leaf, SegmentLeaf):
        return text("explain.segment", segment=leaf.segment)
    ((word, body),) = (leaf.file_form if isinstance(leaf, SequenceLeaf) else leaf.normal()).items()
    return f"{text(f'condition.{word}')} {_plain_text(body)}"


def _plain_text(body: Any) -> str:
    """Give a part of a leaf's normal form on one line, without what is empty."""
    if isinstance(body, dict):
        entries = (
            (key, value) for key, value in body.items() if key != "definite" and value not in ({}, None)
        )
        return ", ".join(f"{key} {_plain_text(value)}" for key, value in entries)
    if isinstance(body, list):
        return "[" + ", ".join(_plain_text(part) for part in body) + "]"
    return _text(body)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_text(member) for member in value) + "]"
    return str(value)


def _redirected(published: Published, one_id: int) -> int:
    rows = published.rows("SELECT to_one_id FROM identity.redirects WHERE from_one_id = ?", [one_id])
    return int(rows[0][0]) if rows else one_id


def _tag_row(published: Published, one_id: int) -> dict[str, Any] | None:
    rows = published.arrow(f"SELECT * FROM tags.customer_tags WHERE one_id = {literal(one_id)}").to_pylist()
    return rows[0] if rows else None


def _one(published: Published, table: str, column: str, code: str, day: date, one_id: int) -> Any:
    rows = published.rows(
        f"SELECT {column} FROM {table} WHERE code = ? AND as_of = ? AND one_id = ?", [code, day, one_id]
    )
    return rows[0][0] if rows else None


def _contact_loss(published: Published, code: str, day: date, one_id: int) -> ContactLoss | None:
    losses = contracted_sql(published, published, "segments.contact_losses")
    rows = published.rows(
        f"SELECT {', '.join(LOSS_COLUMNS)} FROM ({losses}) WHERE code = ? AND as_of = ? AND one_id = ?",
        [code, day, one_id],
    )
    return ContactLoss(*rows[0]) if rows else None


def _deliveries(published: Published, code: str, day: date, one_id: int) -> list[dict[str, Any]]:
    """Give the deliveries of that day that hold the person, with the key it has there."""
    rows = published.rows(
        "SELECT d.destination, d.run_id, d.seq, r.recipient_key FROM segments.deliveries d"
        " JOIN segments.recipients r ON r.destination = d.destination AND r.one_id = ?"
        " JOIN segments.members m ON m.code = d.code AND m.as_of = d.as_of AND m.one_id = r.one_id"
        " WHERE d.code = ? AND d.as_of = ? AND m.holdout = 'NONE' AND coalesce(m.variant, '') <> 'CONTAMINATED'"
        " AND starts_with(d.run_id, m.run_id) ORDER BY d.destination, d.seq",
        [one_id, code, day],
    )
    return [dict(zip(("destination", "run_id", "seq", "recipient_key"), row, strict=True)) for row in rows]


def _barrier_notes(settings: Settings, catalogue: Catalogue, segment: Segment, day: date) -> list[str]:
    """Say what keeps the segment from being published, by what is decided now."""
    standing = standings(catalogue.segments, read_authority(settings), day).get(segment.code)
    return [standing.barrier.sentence] if standing is not None and standing.barrier is not None else []


def _evaluated(published: Published, catalogue: Catalogue, code: str, day: date) -> tuple[Segment, list[str]]:
    """Give the segment as the night of a day evaluated it, else that of the file; with what a reader must know of it."""
    rows = published.rows(
        "SELECT r.version, r.definition_hash, r.params, d.yaml FROM segments.runs r\n"
        "JOIN segments.definitions d ON d.code = r.code AND d.version = r.version\n"
        "WHERE r.code = ? AND r.as_of = ? ORDER BY r.seq DESC LIMIT 1",
        [code, day],
    )
    if not rows:
        return catalogue.segment(code), [text("explain.not_evaluated", day=day)]
    ((version, definition_hash, params, yaml),) = rows
    values = json.loads(params).get("parameters", {})
    own = next((segment for segment in catalogue.segments if segment.code == code), None)
    if own is not None and (own.definition_hash, dict(own.values)) == (definition_hash, values):
        return own, []
    segment = read_version(code, version, yaml, catalogue.site.workspace, values)
    if own is None:
        return segment, [text("explain.only_published", version=version, day=day)]
    word = "explain.other_values" if own.definition_hash == definition_hash else "explain.other_version"
    return segment, [text(word, version=version, day=day, own=own.version)]
