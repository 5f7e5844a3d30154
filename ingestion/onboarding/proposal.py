"""Which trusted tables a file of unknown columns probably fills, and how: names and shapes against the contracts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ingestion.onboarding.assumptions import assumption
from ingestion.onboarding.data_dictionary import ColumnMeaning
from ingestion.onboarding.draft_expressions import TODO, Mapped, expression_for, quoted
from ingestion.onboarding.shapes import ColumnShape
from ingestion.onboarding.suggestions import (
    CERTAIN,
    fillable_tables,
    identifier_named,
    is_personal_name,
    is_secret_name,
    score_of,
    words_of,
)
from lakehouse.contracts.contract import Contract
from lakehouse.contracts.reading import contract
from vocabulary.attributes import Attribute

PERSONS, OBSERVATIONS = "trusted.customers", "trusted.identifier_observations"
# A table is proposed by itself only when its columns say so clearly; below, a person names it.
LEAST_SCORE = 2.0
LEAST_SHOWN = 1.0
_KEY_NAME = re.compile(r"(id|no|nr|num|number|key|code|ref|号|编码|编号)s?$", re.IGNORECASE)
_OF_A_SOURCE = {"openid", "external_userid", "app_user_id", "push_token"}


@dataclass(frozen=True)
class TargetProposal:
    """One target of a drafted feed: columns, or entries of observations, with the reason for the table."""

    table: str
    reason: str
    columns: tuple[Mapped, ...] = ()
    each: tuple[dict[str, str], ...] = ()
    same_key: str | None = None
    note: str = ""
    where: str | None = None
    undecided: tuple[str, ...] = ()

    @property
    def delivered_columns(self) -> set[str]:
        """The delivered columns it maps by name."""
        return {mapping.source_name for mapping in self.columns if mapping.source_name}


@dataclass(frozen=True)
class AttributeDraft:
    """One attribute, the expression that fills it, and the delivered column it is made of."""

    attribute: Attribute
    expression: str
    source_name: str


@dataclass(frozen=True)
class AttributesDraft:
    """The attributes of one entity that a file could fill; ``key`` is the expression of the entity's key."""

    entity: str
    key: str
    attributes: tuple[AttributeDraft, ...]


@dataclass(frozen=True)
class Proposal:
    """What a feed could fill; ``runners_up`` are (table, score, columns that fit) of the tables not chosen."""

    targets: tuple[TargetProposal, ...]
    identifiers: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    runners_up: tuple[tuple[str, float, tuple[str, ...]], ...] = ()
    is_dated: bool = False
    attributes: AttributesDraft | None = None

    @property
    def mode(self) -> str:
        """How the file is delivered: facts as events; states as changed rows where its name has a day, else as a whole.

        A whole that is taken for changes keeps too much, changes that are taken for a whole close everything else.
        """
        if self.targets and contract(self.targets[0].table).shape == "fact":
            return "events"
        return "delta" if self.is_dated else "snapshot"

    @property
    def waiting(self) -> tuple[str, ...]:
        """What a person must fill in, as ``table.column``."""
        return tuple(f"{t.table}.{m.column}" for t in self.targets for m in t.columns if m.waits)


@dataclass(frozen=True)
class Guess:
    """What proposing needs beside the shapes: names of feed and source, the workspace's currency, hints."""

    feed: str
    source: str
    currency: str
    utc: bool = False
    meanings: Mapping[str, ColumnMeaning] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    fills_persons: bool = True
    is_dated: bool = False

    def meaning(self, name: str) -> str:
        """Give what a delivered column is called for the comparison: its meaning where a dictionary tells one."""
        meaning = self.meanings.get(name)
        return name if meaning is None else meaning.name

    def codes(self, name: str) -> Mapping[str, str]:
        """Give what the dictionary says of a column's codes."""
        meaning = self.meanings.get(name)
        return {} if meaning is None else meaning.codes


def propose(shapes: Sequence[ColumnShape], guess: Guess) -> Proposal:
    """Give the targets that fit best; with ``guess.tables`` exactly those (and what identifies people beside)."""
    usable = [
        shape for shape in shapes if shape.value_count and not is_secret_name(guess.meaning(shape.name))
    ]
    identifiers = _identifiers(usable, guess)
    scored = sorted(
        (
            (_score(table, usable, guess, identifiers), table)
            for table in fillable_tables()
            if table != OBSERVATIONS
        ),
        key=lambda candidate: (-candidate[0][0], candidate[1]),
    )
    tables = list(guess.tables) or [table for (score, _), table in scored[:1] if score >= LEAST_SCORE]
    if OBSERVATIONS in tables and PERSONS not in tables:
        tables[tables.index(OBSERVATIONS)] = PERSONS
    targets = [_target(table, usable, guess, identifiers) for table in tables if table != OBSERVATIONS]
    targets += _people_beside(targets, usable, guess, identifiers)
    targets = [_with_person(target, targets) for target in targets]
    delivered_columns = {name for target in targets for name in target.delivered_columns}
    runners_up = tuple(
        (
            table,
            round(score, 1),
            tuple(f"{m.source_name} → {m.column}" for m in fits if m.source_name not in delivered_columns),
        )
        for (score, fits), table in scored
        if score >= LEAST_SHOWN
        and table not in [target.table for target in targets]
        and any(m.source_name not in delivered_columns for m in fits)
    )
    return Proposal(tuple(targets), identifiers, runners_up[:3], guess.is_dated)


def level_of(shape: ColumnShape, guess: Guess, proposal: Proposal) -> str:
    """Give the personal level of a delivered column: that of the column it fills, else by name and shape."""
    if is_secret_name(guess.meaning(shape.name)):
        return "C3"
    levels = [
        contract(target.table).columns[mapping.column].level
        for target in proposal.targets
        for mapping in target.columns
        if mapping.source_name == shape.name
    ]
    if (
        shape.name in proposal.identifiers
        or shape.identifier
        or is_personal_name(guess.meaning(shape.name))
        or (not levels and shape.type == "text" and not shape.codes and shape.value_count)
    ):
        levels.append("C2")
    return max(levels, default="C1")


def _identifiers(shapes: Sequence[ColumnShape], guess: Guess) -> dict[str, tuple[str, str | None]]:
    """Give the namespace and hash method of columns that identify people, by shape first, then by name."""
    identifiers: dict[str, tuple[str, str | None]] = {}
    for shape in shapes:
        kind_by_name, _ = identifier_named(guess.meaning(shape.name))
        kind = {"imei": "device_id"}.get(shape.identifier or "", shape.identifier)
        if kind == "openid" and kind_by_name == "unionid":
            kind = "unionid"
        if kind == "device_id" and kind_by_name != "device_id":
            # A UUID may number anything: only the name tells a device.
            kind = None
        if (
            kind is None
            and shape.hash_method
            and kind_by_name in ("phone", "national_id", "email", "device_id")
        ):
            kind = kind_by_name
        if kind is None and not shape.hash_method and shape.type in ("text", "integer"):
            kind = (
                kind_by_name
                if kind_by_name in ("device_id", "openid", "unionid", "passport") and not shape.codes
                else None
            )
        if kind:
            identifiers[shape.name] = (_namespace(kind, guess.source), shape.hash_method)
    return identifiers


def _namespace(kind: str, source: str) -> str:
    if kind == "unionid":
        return "unionid@wechat"
    return f"{kind}@{source}" if kind in _OF_A_SOURCE else kind


def _assignments(
    table: str, shapes: Sequence[ColumnShape], guess: Guess, identifiers: Mapping[str, object]
) -> list[tuple[float, Mapped]]:
    """Give which delivered column fills which trusted one, best names first, each used once per table."""
    contract_of_table = contract(table)
    candidates = []
    for place, shape in enumerate(shapes):
        for column in contract_of_table.business_columns.values():
            if column.name == "source" or column.level == "C3":
                continue
            if shape.name in identifiers and column.name not in ("device_id", "source_key"):
                continue
            score = score_of(guess.meaning(shape.name), table, column.name)
            score += 0.01 * (shape.name.lower() == column.name)
            if score >= CERTAIN and (
                mapping := expression_for(shape, table, column, utc=guess.utc, legend=guess.codes(shape.name))
            ):
                candidates.append((score, place, mapping))
    mapping_of: dict[str, tuple[float, Mapped]] = {}
    names: set[str] = set()
    for score, _, mapping in sorted(candidates, key=lambda c: (-c[0], c[1], c[2].column)):
        if mapping.column not in mapping_of and mapping.source_name not in names:
            mapping_of[mapping.column] = (score, mapping)
            names.add(str(mapping.source_name))
    own_key = _own_key(contract_of_table)
    fallback = _unique_id(shapes, guess, names) if own_key and own_key not in mapping_of else None
    if (
        own_key
        and fallback
        and (mapping := expression_for(fallback, table, contract_of_table.columns[own_key], utc=guess.utc))
    ):
        mapping_of[own_key] = (0.8, mapping)
    return list(mapping_of.values())


def _own_key(table: Contract) -> str | None:
    """Give the one key column beside ``source`` that numbers the rows, if there is one."""
    keys = [name for name in table.key if name != "source"]
    return keys[0] if len(keys) == 1 else None


def _unique_id(shapes: Sequence[ColumnShape], guess: Guess, names: set[str]) -> ColumnShape | None:
    """Give the first column that numbers the records, when its name says no more than that."""
    return next(
        (
            s
            for s in shapes
            if s.name not in names and s.is_nearly_unique and words_of(guess.meaning(s.name)) == ("id",)
        ),
        None,
    )


def _unique_key(
    table: Contract,
    shapes: Sequence[ColumnShape],
    guess: Guess,
    fits: Mapping[str, Mapped],
    identifiers: Mapping[str, object],
) -> Mapped | None:
    """Give the table's key by a column that numbers the records, whatever its name; one whose name says so goes first."""
    own_key = _own_key(table)
    if own_key is None or own_key in fits:
        return None
    names = {mapping.source_name for mapping in fits.values()}
    keys = [
        shape
        for shape in shapes
        if shape.is_unique
        and shape.name not in names
        and shape.name not in identifiers
        and shape.type in ("text", "integer")
        and not shape.has_words
        and not is_personal_name(guess.meaning(shape.name))
    ]
    for shape in sorted(keys, key=lambda shape: not _KEY_NAME.search(guess.meaning(shape.name))):
        mapping = expression_for(shape, table.name, table.columns[own_key], utc=guess.utc)
        if mapping is not None:
            note = f"{shape.name} is the key because every sampled record has another; is it?"
            return replace(mapping, note=mapping.note or note)
    return None


@cache
def _tables_with(column: str) -> int:
    return sum(column in contract(table).business_columns for table in fillable_tables())


def _score(
    table: str, shapes: Sequence[ColumnShape], guess: Guess, identifiers: Mapping[str, object]
) -> tuple[float, list[Mapped]]:
    """Give how well a table fits: its own columns count most, what every table has little, what is missing against it."""
    contract_of_table = contract(table)
    fits = _assignments(table, shapes, guess, identifiers)
    columns = {mapping.column for _, mapping in fits}
    score = sum(points * 2 / _tables_with(mapping.column) ** 0.7 for points, mapping in fits)
    if (key := _own_key(contract_of_table)) and key in columns and _tables_with(key) == 1:
        score += 1
    noun = set(words_of(contract_of_table.table.rstrip("s")))
    if noun <= {word.rstrip("s") for name in (guess.feed, guess.source) for word in words_of(name)}:
        score += 2
    if table == PERSONS:
        score += 0.5 * len(identifiers) if "source_key" in columns else 0
    missing = [
        column.name
        for column in contract_of_table.business_columns.values()
        if (column.required or column.name in contract_of_table.key)
        and column.name not in columns | {"source"}
        and assumption(table, column, [m for _, m in fits], shapes, guess.currency).waits
    ]
    # A fact that says no day is none.
    score -= 1.5 * len(missing) + (5 if contract_of_table.event_date in missing else 0)
    return score, [mapping for _, mapping in fits]


def _target(
    table: str, shapes: Sequence[ColumnShape], guess: Guess, identifiers: Mapping[str, object]
) -> TargetProposal:
    contract_of_table = contract(table)
    fits = {mapping.column: mapping for _, mapping in _assignments(table, shapes, guess, identifiers)}
    key = _unique_key(contract_of_table, shapes, guess, fits, identifiers)
    if key is not None:
        fits[key.column] = key
    codes = _unknown_codes(contract_of_table, shapes, guess, fits)
    for column in contract_of_table.business_columns.values():
        is_needed = column.required or column.name in contract_of_table.key
        if is_needed and column.name not in fits and column.name != "source":
            mapping = assumption(table, column, list(fits.values()), shapes, guess.currency)
            codes_text = codes.pop(column.name, None)
            fits[column.name] = Mapped(column.name, f"{TODO} {codes_text}") if codes_text else mapping
    mappings = tuple(fits[name] for name in contract_of_table.business_columns if name in fits)
    by_name = [mapping.column for mapping in mappings if mapping.source_name]
    by_hand = "named with --table; " if table in guess.tables else ""
    reason = (
        f"{by_hand}{len(by_name)} of its {len(contract_of_table.business_columns) - 1} columns are delivered"
    )
    same_key, note = _key_policy(contract_of_table, mappings, shapes)
    undecided = tuple(f"{name}: {codes_text}" for name, codes_text in codes.items())
    return TargetProposal(table, reason, mappings, same_key=same_key, note=note, undecided=undecided)


def _unknown_codes(
    table: Contract, shapes: Sequence[ColumnShape], guess: Guess, fits: Mapping[str, Mapped]
) -> dict[str, str]:
    """Give, for columns with words of their own, the delivered codes that a person must translate."""
    texts = {}
    for column in table.business_columns.values():
        if not column.allowed or column.name in fits:
            continue
        code_shapes = [
            s
            for s in shapes
            if score_of(guess.meaning(s.name), table.name, column.name) >= CERTAIN and s.codes
        ]
        if code_shapes:
            codes = ", ".join(f"{code} ({times})" for code, times in list(code_shapes[0].codes.items())[:12])
            texts[column.name] = (
                f"case {quoted(code_shapes[0].name)} when … then … end; its codes (records) are {codes}; "
                f"the words are {', '.join(column.allowed)}"
            )
    return texts


def _key_policy(table: Contract, columns: Sequence[Mapped], shapes: Sequence[ColumnShape]) -> tuple[str, str]:
    key = _own_key(table)
    name = next((m.source_name for m in columns if m.column == key), None)
    shape = next((s for s in shapes if s.name == name), None)
    if shape is None or shape.is_unique:
        return "refuse", ""
    repeated = shape.value_count - shape.distinct
    return "first", (
        f"{repeated} of {shape.value_count} sampled records repeat a {shape.name} seen before; the first is kept. "
        "Write 'last by <column>' to keep the newest, or 'refuse' to keep none that differ"
    )


def _people_beside(
    targets: Sequence[TargetProposal],
    shapes: Sequence[ColumnShape],
    guess: Guess,
    identifiers: Mapping[str, tuple[str, str | None]],
) -> list[TargetProposal]:
    """Give the people a file names beside its main table, and what identifies them."""
    keyed = next((t for t in targets if t.table == PERSONS), None) or next(
        (t for t in targets if any(m.column == "source_key" and m.source_name for m in t.columns)), None
    )
    if keyed is None:
        return []
    key = next(m for m in keyed.columns if m.column == "source_key")
    if key.waits:
        return []
    beside: list[TargetProposal] = []
    shape = next(s for s in shapes if s.name == key.source_name)
    is_anonymous = bool(shape.hash_method) or bool(
        {"cookie", "visitor", "userid"} & set(words_of(shape.name))
    )
    if keyed.table != PERSONS and guess.fills_persons:
        people = _target(PERSONS, shapes, guess, identifiers)
        kind = "'anonymous'" if is_anonymous else "'customer'"
        columns = tuple(
            Mapped("kind", kind, "assumed; prospect is the third word") if m.column == "kind" else m
            for m in people.columns
        )
        # A record of nobody stays a row of the main table; it only makes no profile.
        where = f"{key.expression} is not null" if shape.value_count < shape.records else None
        reason = "the records name people; without a profile nobody gets a OneID or a tag"
        beside.append(TargetProposal(PERSONS, reason, columns, same_key="last", where=where))
    each = []
    if not is_anonymous:
        space = "app_user_id" if {"user", "uid"} & set(words_of(guess.meaning(shape.name))) else "customer_no"
        each.append(
            _observation(key.expression, f"{space}@{guess.source}", key.expression, None, verified=True)
        )
    for name, (namespace, method) in identifiers.items():
        each.append(_observation(key.expression, namespace, quoted(name), method, verified=False))
    if each:
        reason = (
            "columns that identify people, by their shape or name"
            if identifiers
            else "the person's own number"
        )
        beside.append(TargetProposal(OBSERVATIONS, reason, each=tuple(each), same_key="first"))
    return beside


def _with_person(target: TargetProposal, targets: Sequence[TargetProposal]) -> TargetProposal:
    """Give a target that names the person of the record, where the same file tells who that is."""
    contract_of_table = contract(target.table)
    people = next((t for t in targets if t.table == PERSONS), None)
    key = (
        next((m for m in people.columns if m.column == "source_key" and not m.waits), None)
        if people
        else None
    )
    names = {mapping.column for mapping in target.columns}
    if (
        key is None
        or target.each
        or "source_key" in names
        or "source_key" not in contract_of_table.business_columns
    ):
        return target
    columns = (*target.columns, replace(key, note="the person of the same record"))
    order = list(contract_of_table.business_columns)
    return replace(target, columns=tuple(sorted(columns, key=lambda m: order.index(m.column))))


def _observation(
    key: str, namespace: str, value: str, method: str | None, *, verified: bool
) -> dict[str, str]:
    role = "attribute" if namespace == "bank_card" else "identity"
    entry = {"source_key": key, "namespace": f"'{namespace}'", "value": value, "role": f"'{role}'",
             "verified": "true" if verified else "false"}  # fmt: skip
    return entry | ({"hash_method": f"'{method}'"} if method else {})
