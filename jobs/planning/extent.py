"""How far a change can reach, told from the files of a workspace and from what is published, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identity.rules.rules import FILE_NAME as RULES
from identity.rules.rules import Rules, load_rules, read_rules
from jobs.planning.changes import FileChange, are_audiences_reached, are_models_reached
from jobs.planning.new_sources import delivered_sources
from jobs.workspace.check import check_files, secret_names
from lakehouse.contracts.contract import Contract
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.query.published import Published
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from tags.compile.compilation import Compilation

# By code, what decides about a tag's values or a segment's people.
_Meanings = Mapping[str, tuple[Any, ...]]

CATALOGUE = "tags.catalogue"
WIDE = "tags.customer_tags"
# What of a row of the catalogue decides about values; the rest is told to people.
_OF_VALUES = (
    "compiled_sql", "value_type", "cardinality", "domain", "value_min", "value_max", "null_rule", "default_value", "compute_kind",
    "relation", "parameters",
)  # fmt: skip


@dataclass(frozen=True)
class Extent:
    """What has to be computed. ``sources`` are new feeds that have files; ``contracts`` are those of the changed workspace.

    ``tag_codes`` are the online tags that are computed otherwise and those that read them; None where all are.
    """

    contracts: list[Contract]
    published_rules: tuple[str, Rules]
    rules_version: str
    sources: list[str]
    are_tags_reached: bool
    tag_codes: set[str] | None
    are_audiences_reached: bool
    notes: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def are_people_reached(self) -> bool:
        """Whether who is whom may change."""
        return bool(self.sources) or self.rules_version != self.published_rules[0]


def extent_of_rules(settings: Settings, published: Published) -> Extent:
    """Give the extent of rules of identity where nothing but people is asked; no other file is read."""
    rules = load_rules(settings)
    return Extent([], published_rules_of(published), rules.version, [], False, None, False)


def read_extent(
    settings: Settings, before: Path, published: Published, changes: Sequence[FileChange]
) -> Extent:
    """Check the changed workspace of ``settings``, whose first fault raises ``SettingsInvalid``, and give how far it reaches.

    What is published decides, so that a change that is in use and not published yet counts, too; a note says so.
    """
    from tags.catalogue import catalogue_rows
    from tags.compile.compilation import compile_tags

    has_feeds = bool(files_in(settings.workspace / "feeds", "*.yml"))
    contracts, destinations = check_files(settings, needs_feeds=has_feeds)
    day = published.publication.business_date
    sources, gaps = delivered_sources(settings, changes, day) if has_feeds else ([], [])
    rules, published_rules = load_rules(settings), published_rules_of(published)
    compilation = compile_tags(settings.workspace)
    tags, published_tags = _computed_tags(catalogue_rows(compilation)), _published_tags(published)
    segments, published_segments = _definitions(settings.workspace), _published_definitions(published)
    gaps += [
        f"the secret '{name}' is missing"
        for name in secret_names(settings, destinations)
        if _is_missing(settings, name)
    ]
    reads_anew = are_models_reached(changes)
    changed_tags = _differing(published_tags, tags)
    is_part = not reads_anew and published.exists(WIDE)
    return Extent(
        contracts,
        published_rules,
        rules.version,
        sources,
        are_tags_reached=bool(changed_tags) or reads_anew,
        tag_codes=_tags_to_compute(compilation, changed_tags) or None if is_part else None,
        are_audiences_reached=bool(_differing(published_segments, segments))
        or are_audiences_reached(changes),
        notes=[
            *_unpublished(
                before,
                rules.version,
                published_rules[0],
                (published_tags, tags),
                (published_segments, segments),
            ),
            *_switched(before, compilation, published_tags),
        ],
        gaps=gaps,
    )


def _is_missing(settings: Settings, name: str) -> bool:
    try:
        settings.require_secret(name)
    except SettingsInvalid:
        return True
    return False


def _unpublished(
    before: Path,
    rules: str,
    published_rules: str,
    tags: tuple[_Meanings, _Meanings],
    segments: tuple[_Meanings, _Meanings],
) -> list[str]:
    """Say what is as it was before the change, and other than what is published; its effect is in the numbers."""
    from tags.catalogue import catalogue_rows
    from tags.compile.compilation import compile_tags

    names = []
    try:
        if rules != published_rules and read_rules(before / RULES).version == rules:
            names.append(RULES)
        if _differing(*tags):
            own = _computed_tags(catalogue_rows(compile_tags(before)))
            names += sorted(_differing(*tags) - _differing(own, tags[1]))
        if _differing(*segments):
            names += sorted(_differing(*segments) - _differing(_definitions(before), segments[1]))
    except SettingsInvalid:
        return []  # what is in use, or was committed, is at fault; the change may mend it
    if not names:
        return []
    return [
        f"not changed here, and not published yet: {', '.join(names)}; their effect is in these numbers, too"
    ]


def _switched(before: Path, compilation: Compilation, published_tags: _Meanings) -> list[str]:
    """Say which tags are off that are published, and which are computed that were off before, by reason."""
    from tags.compile.compilation import compile_tags

    reasons: dict[str, list[str]] = {}
    for code, absence in compilation.registry.absences.items():
        if code in published_tags:
            reasons.setdefault(f"off from this change on, as {absence.sentence}", []).append(code)
    try:
        absences = compile_tags(before, is_checked=False).registry.absences
    except SettingsInvalid:
        absences = {}  # what is in use, or was committed, is at fault; the change may mend it
    for entry in compilation.plan.entries:
        if entry.code in absences:
            reasons.setdefault("no longer off", []).append(entry.code)
    return [f"{len(codes)} tags are {reason}: {', '.join(codes)}" for reason, codes in reasons.items()]


def published_rules_of(published: Published) -> tuple[str, Rules]:
    """Give the rules that the published map was made under, and their version then."""
    day = published.publication.business_date
    rows = published.rows(
        "SELECT rules_version, rules FROM identity.nights WHERE _arrived_on <= ? ORDER BY _arrived_on DESC LIMIT 1",
        [day],
    ) if published.exists("identity.nights") else []  # fmt: skip
    if not rows:
        raise UsageError(f"the publication of {day} has no night of identity to begin from")
    version, rules = rows[0]
    return version, Rules.model_validate(json.loads(rules))


def _published_tags(published: Published) -> _Meanings:
    return (
        _computed_tags(published.records(f"SELECT * FROM {CATALOGUE}")) if published.exists(CATALOGUE) else {}
    )


def _computed_tags(rows: Sequence[Mapping[str, Any]]) -> _Meanings:
    """Give by code what decides about the values of each tag that is computed, from rows of the catalogue."""
    return {
        row["code"]: tuple(row.get(name) for name in _OF_VALUES)
        for row in rows
        if row["compiled_sql"] is not None
    }


def _differing(before: _Meanings, after: _Meanings) -> set[str]:
    return {code for code in {*before, *after} if before.get(code) != after.get(code)}


def _tags_to_compute(compilation: Compilation, changes: set[str]) -> set[str]:
    """Give the online ones of these tags, and all that read them, however far away."""
    from tags.catalogue import readers

    readers_of = readers(compilation.registry)
    codes, waiting = set(changes), list(changes)
    while waiting:
        for code in readers_of.get(waiting.pop(), ()):
            if code not in codes:
                codes.add(code)
                waiting.append(code)
    return codes & {entry.code for entry in compilation.entries}


def _published_definitions(published: Published) -> _Meanings:
    from segments.explaining.live import live_runs

    return {code: (run.version, run.definition_hash) for code, run in live_runs(published).items()}


def _definitions(workspace: Path) -> _Meanings:
    """Give by code version and definition of every segment of a workspace that can be read."""
    from segments.language.spec import read_every_segment

    return {one.code: (one.version, one.definition_hash) for one in read_every_segment(workspace)[0]}
