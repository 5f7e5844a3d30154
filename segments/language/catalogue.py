"""The segments of a workspace with all that is needed to check them: tags, destinations, policy, published definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.integrity.states import require_bytes
from lakehouse.query.desk import open_scratch, open_table
from lakehouse.query.files import table_sql
from lakehouse.query.published import newest_publication
from lakehouse.settings.optional_files import files_in, is_there
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean, line_of
from lakehouse.settings.yaml_limits import yaml_text
from segments.language.checks.findings import Site, SpecFinding, Surroundings
from segments.language.checks.segment_checks import check_segments
from segments.language.complaints import with_consequence
from segments.language.contact import ContactRules, contact_policy_file, read_contact_rules
from segments.language.parameters import Scalar, with_values
from segments.language.parsing import ConditionReader
from segments.language.spec import Segment, parse_segment, read_every_segment, read_segment, segment_file
from segments.language.templates import FOLDER as TEMPLATES
from segments.language.templates import read_template, salt_owner
from vocabulary.attributes import read_attributes
from vocabulary.lookups import read_lookups
from vocabulary.policy import Policy, read_policy
from vocabulary.relations import ENTITY_TIES


@dataclass(frozen=True)
class Catalogue:
    """All specifications of a workspace and what they are checked against."""

    segments: list[Segment]
    site: Site
    faults: tuple[SettingsInvalid, ...] = ()
    """The first fault of each file that cannot be read."""
    unsettled: list[Segment] = field(default_factory=list)
    """Segments read with the defaults of their parameters, since their values are at fault: to be checked, not to be decided."""

    def findings(self) -> list[SpecFinding]:
        """Give every finding over all specifications, those that cannot be read included."""
        return check_segments([*self.segments, *self.unsettled], self.site, self.faults)

    @property
    def segment_files(self) -> list[Path]:
        """The files of all specifications, also of those that cannot be read."""
        return files_in(self.site.workspace / "segments", "*.yml")

    def segment(self, code: str) -> Segment:
        """Give one segment, whatever is wrong with the others; its own fault, or an unknown code, raises."""
        for segment in self.segments:
            if segment.code == code:
                return segment
        file = segment_file(self.site.workspace, code)
        if is_there(file):
            return read_segment(file)
        raise UsageError(f"there is no segment '{code}'{did_you_mean(code, [s.code for s in self.segments])}")


def read_catalogue(
    settings: Settings,
    surroundings: Surroundings,
    known_hashes: dict[tuple[str, str], str] | None = None,
    *,
    is_check: bool = False,
) -> Catalogue:
    """Read and parse everything segments need from a workspace (no Spark, no JVM).

    ``known_hashes`` are the definitions already used, by (code, version); by default those last published. A check reads on where
    ``consent.yml`` cannot be read, and reads what no segment names: every template, attributes and look-ups.
    """
    workspace = settings.workspace
    segments, faults = read_every_segment(workspace)
    unsettled: list[Segment] = []
    try:
        contact = read_contact_rules(workspace)
    except SettingsInvalid as fault:
        without = "what segments ask of contacts is not compared with it"
        contact = ContactRules(file=contact_policy_file(workspace), is_unread=True)
        faults = [*faults, with_consequence(fault, without) if is_check else fault]
    policy = Policy()
    if is_check:
        unsettled, more = _unsettled_segments(workspace, segments, faults)
        faults += [*more, *surroundings.faults]
        faults += _faults_beside(workspace, [*segments, *unsettled], faults)
        try:
            policy = read_policy(workspace)
        except SettingsInvalid as fault:
            faults.append(fault)
    else:
        policy = read_policy(workspace)
    site = Site(
        workspace=workspace,
        tags=surroundings.tags,
        ceilings=surroundings.ceilings,
        policy=policy,
        known_hashes=published_hashes(settings) if known_hashes is None else known_hashes,
        offers=surroundings.offers,
        event_names=surroundings.event_names,
        contact=contact,
        worklists=surroundings.worklists,
        tag_days=settings.retention.tag_days,
        unread=surroundings.unread,
    )
    return Catalogue(segments, site, tuple(_each_once(faults)), unsettled)


def _each_once(faults: Iterable[SettingsInvalid]) -> list[SettingsInvalid]:
    """Give one fault of each line, though every segment that a file serves meets it: the last, which says most."""
    return list({(fault.file, fault.line): fault for fault in faults}.values())


def _unsettled_segments(
    workspace: Path, segments: Iterable[Segment], faults: Iterable[SettingsInvalid]
) -> tuple[list[Segment], list[SettingsInvalid]]:
    """Read again, by the defaults of their parameters, the segments that another file made unreadable; and give what hinders that."""
    others = {segment.file for segment in segments} | {Path(str(fault.file)) for fault in faults}
    unsettled, more = [], []
    for file in sorted(set(files_in(workspace / "segments", "*.yml")) - others):
        try:
            unsettled.append(read_segment(file, has_values=False))
        except SettingsInvalid as fault:
            more.append(fault)
    return unsettled, more


def _faults_beside(
    workspace: Path, segments: Iterable[Segment], faults: Iterable[SettingsInvalid]
) -> list[SettingsInvalid]:
    """Give the faults of attributes, look-ups and templates that no segment has met."""
    beside = []
    for reader, consequence in (
        (read_attributes, "conditions on attributes are not checked"),
        (read_lookups, None),
    ):
        if (fault := _fault_of(reader, workspace)) is not None:
            beside.append(with_consequence(fault, consequence) if consequence else fault)
    faulty = {str(fault.file) for fault in faults}
    extended = {segment.spec.extends for segment in segments}
    for file in files_in(workspace / TEMPLATES, "*@*.yml"):
        if str(file) not in faulty and file.stem not in extended:
            fault = _fault_of(_read_whole_template, file)
            beside += [fault] if fault is not None else []
    return beside


def _fault_of(reader: Callable[[Path], Any], place: Path) -> SettingsInvalid | None:
    try:
        reader(place)
    except SettingsInvalid as fault:
        return fault
    return None


# What a file must add to a template, where the template lets it.
_ADDED = {
    "name": "{zh: x, en: x}",
    "owner": "{business: x, tech: x}",
    "contact": "{channels: [SMS]}",
    "publish": "{destinations: [x]}",
}


def _read_whole_template(file: Path) -> None:
    """Read a template as the least file reads it that extends it; the first fault raises ``SettingsInvalid``."""
    text = yaml_text(file)
    tree = read_template(text, file)
    parameters = tree.get("parameters")
    defaults = {
        str(name): one["default"]
        for name, one in (parameters.items() if isinstance(parameters, dict) else ())
        if isinstance(one, dict) and isinstance(one.get("default"), Scalar)
    }
    entity = str(tree["entity"]) if tree.get("entity") in ENTITY_TIES else None
    reader = ConditionReader(file, entity, owner=salt_owner(file.stem))
    for key in ("base", "where", "include", "exclude"):
        part = tree.get(key)
        for one in part if isinstance(part, list) else [part]:
            try:
                condition = with_values(one, defaults)
            except KeyError:
                continue  # the whole file says so
            if condition is not None:
                reader.read(condition, line_of(tree, key))
    lines = [f"spec: segment/v1\ncode: template\nversion: 1.0.0\nextends: {file.stem}"]
    overrides = tree.get("overrides") or []
    lines += [f"{key}: {stub}" for key, stub in _ADDED.items() if key not in tree and key in overrides]
    if not any(tree.get(key) for key in ("base", "where", "include")):
        lines.append("where: {tag: x, is_null: false}")
    try:
        parse_segment("\n".join(lines), file, file.parent.parent, template=text, has_values=False)
    except SettingsInvalid as fault:
        raise SettingsInvalid(fault.message, file=file) from None


def published_hashes(settings: Settings) -> dict[tuple[str, str], str]:
    """Give the definition hashes the newest publication holds, by (code, version); none before the first night.

    Damaged ones raise ``StepFailed``: they would blame files that are as they were.
    """
    publication = newest_publication(settings)
    version = publication.tables.get("segments.definitions") if publication else None
    if publication is None or version is None:
        return {}
    require_bytes(settings, publication, ["segments.definitions"])
    table = open_table(settings, "segments.definitions", version)
    # By DuckDB, which a command has loaded anyway: reading by pyarrow loads its datasets, which takes longer than the rest.
    with open_scratch(folders=[settings.lake]) as desk:
        rows = desk.rows(
            f"SELECT code, version, definition_hash FROM ({table_sql(table, 'segments.definitions')})"
        )
    return {(code, number): definition_hash for code, number, definition_hash in rows}
