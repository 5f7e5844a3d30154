"""The check of a workspace: every YAML file is read, nothing is written."""

from __future__ import annotations

from jobs.workspace.surroundings import read_surroundings
from lakehouse.contracts.contract import Contract
from lakehouse.settings.settings import Settings


def check_workspace(settings: Settings, *, needs_feeds: bool = True) -> list[Contract]:
    """Read every YAML file of the workspace; the first fault raises ``SettingsInvalid``.

    Give the contracts that follow from it, which a lake has beside the written ones: of the landing tables of feeds, and of the wide tag tables.
    A workspace that is new has no feeds: with ``needs_feeds=False`` only its other files are read.
    """
    import identity
    import ingestion
    import segments
    import tags

    contracts = ingestion.landing_contracts(settings) if needs_feeds else []
    identity.load_rules(settings)
    contracts += tags.tag_contracts(settings)
    segments.check_specs(settings, read_surroundings(settings))
    return contracts
