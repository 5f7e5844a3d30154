"""The segments of a workspace with all that is needed to check them: tags, destinations, policy, published definitions."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.query.desk import open_table
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks import Site, SpecFinding, Surroundings, check_segments
from segments.language.contact import ContactRules, contact_policy_file, read_contact_rules
from segments.language.spec import Segment, read_every_segment, read_segment, segment_file
from vocabulary.policy import read_policy


@dataclass(frozen=True)
class Catalogue:
    """All specifications of a workspace and what they are checked against."""

    segments: list[Segment]
    site: Site
    faults: tuple[SettingsInvalid, ...] = ()
    """The first fault of each file that cannot be read."""

    def findings(self) -> list[SpecFinding]:
        """Give every finding over all specifications, those that cannot be read included."""
        return check_segments(self.segments, self.site, self.faults)

    def segment(self, code: str) -> Segment:
        """Give one segment, whatever is wrong with the others; its own fault, or an unknown code, raises."""
        for segment in self.segments:
            if segment.code == code:
                return segment
        file = segment_file(self.site.workspace, code)
        if file.is_file():
            return read_segment(file)
        raise UsageError(f"there is no segment '{code}'{did_you_mean(code, [s.code for s in self.segments])}")


def read_catalogue(
    settings: Settings, surroundings: Surroundings, known_hashes: dict[tuple[str, str], str] | None = None
) -> Catalogue:
    """Read and parse everything segments need from a workspace (no Spark, no JVM).

    ``known_hashes`` are the definitions already used, by (code, version); by default those last published.
    """
    workspace = settings.workspace
    segments, faults = read_every_segment(workspace)
    try:
        contact = read_contact_rules(workspace)
    except SettingsInvalid as fault:
        contact, faults = ContactRules(file=contact_policy_file(workspace)), [*faults, fault]
    site = Site(
        workspace=workspace,
        tags=surroundings.tags,
        ceilings=surroundings.ceilings,
        policy=read_policy(workspace),
        known_hashes=published_hashes(settings) if known_hashes is None else known_hashes,
        offers=surroundings.offers,
        event_names=surroundings.event_names,
        contact=contact,
        worklists=surroundings.worklists,
        tag_days=settings.retention.tag_days,
    )
    return Catalogue(segments, site, tuple(faults))


def published_hashes(settings: Settings) -> dict[tuple[str, str], str]:
    """Give the definition hashes the newest publication holds, by (code, version); none before the first night."""
    publication = newest_publication(settings)
    version = publication.tables.get("segments.definitions") if publication else None
    if version is None:
        return {}
    table = open_table(settings, "segments.definitions", version)
    rows = table.to_pyarrow_table(columns=["code", "version", "definition_hash"]).to_pylist()
    return {(row["code"], row["version"]): row["definition_hash"] for row in rows}
