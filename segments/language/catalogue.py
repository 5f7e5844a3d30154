"""The segments of a workspace with all that is needed to check them: tags, destinations, policy, published definitions."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.query.desk import open_table
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import Settings
from segments.language.checks import Site, SpecFinding, Surroundings, check_segments
from segments.language.contact import read_contact_rules
from segments.language.spec import Segment, read_segments
from vocabulary.policy import read_policy


@dataclass(frozen=True)
class Catalogue:
    """All specifications of a workspace and what they are checked against."""

    segments: list[Segment]
    site: Site

    def findings(self) -> list[SpecFinding]:
        """Give every finding over all specifications."""
        return check_segments(self.segments, self.site)


def read_catalogue(
    settings: Settings, surroundings: Surroundings, known_hashes: dict[tuple[str, str], str] | None = None
) -> Catalogue:
    """Read and parse everything segments need from a workspace (no Spark, no JVM).

    ``known_hashes`` are the definitions already used, by (code, version); by default those last published.
    """
    workspace = settings.workspace
    site = Site(
        workspace=workspace,
        tags=surroundings.tags,
        ceilings=surroundings.ceilings,
        policy=read_policy(workspace),
        known_hashes=published_hashes(settings) if known_hashes is None else known_hashes,
        offers=surroundings.offers,
        contact=read_contact_rules(workspace),
    )
    return Catalogue(read_segments(workspace), site)


def published_hashes(settings: Settings) -> dict[tuple[str, str], str]:
    """Give the definition hashes the newest publication holds, by (code, version); none before the first night."""
    publication = newest_publication(settings)
    version = publication.tables.get("segments.definitions") if publication else None
    if version is None:
        return {}
    table = open_table(settings, "segments.definitions", version)
    rows = table.to_pyarrow_table(columns=["code", "version", "definition_hash"]).to_pylist()
    return {(row["code"], row["version"]): row["definition_hash"] for row in rows}
