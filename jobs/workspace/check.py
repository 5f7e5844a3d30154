"""The check of a workspace: every YAML file is read, nothing is written."""

from __future__ import annotations

from jobs.workspace.surroundings import read_surroundings
from lakehouse.settings.settings import Settings


def check_workspace(settings: Settings, *, needs_feeds: bool = True) -> None:
    """Read every YAML file of the workspace; the first fault raises ``SettingsInvalid``.

    The contracts that come from the workspace (landing tables of feeds, the wide tag table) are known afterwards.
    A workspace that is new has no feeds: with ``needs_feeds=False`` only its other files are read.
    """
    import identity
    import ingestion
    import segments
    import tags

    if needs_feeds:
        ingestion.load_feeds(settings)
    identity.load_rules(settings)
    tags.load_registry(settings)
    segments.check_specs(settings, read_surroundings(settings))
