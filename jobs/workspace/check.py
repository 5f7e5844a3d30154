"""The check of a workspace: every YAML file is read, nothing is written."""

from __future__ import annotations

from jobs.workspace.surroundings import read_surroundings
from jobs.workspace.tag_approvals import require_approved_tags
from lakehouse.contracts.contract import Contract
from lakehouse.settings.settings import Settings


def check_workspace(settings: Settings, *, needs_feeds: bool = True) -> list[Contract]:
    """Read every YAML file of the workspace and look for the secrets that a night needs; the first fault raises ``SettingsInvalid``.

    Give the contracts that follow from it, which a lake has beside the written ones: of the landing tables of feeds, and of the wide tag tables.
    A workspace that is new has no feeds: with ``needs_feeds=False`` only its other files are read.
    """
    import identity
    import ingestion
    import segments
    import tags
    from delivery.signature import verification_secret
    from delivery.staging import secret_name
    from delivery.transmission.endpoints import require_endpoints
    from identity.rules.workspace_key import SECRET
    from segments.approving.decisions import SECRET as DECISIONS_SECRET

    contracts = ingestion.landing_contracts(settings) if needs_feeds else []
    check_disclosures(settings)
    identity.load_rules(settings)
    contracts += tags.tag_contracts(settings)
    tags.check_versions(settings)
    destinations = segments.check_specs(settings, read_surroundings(settings))
    for name in (SECRET, *map(secret_name, destinations), *map(verification_secret, destinations)):
        settings.require_secret(name)
    if segments.needs_decisions_key(settings):
        settings.require_secret(DECISIONS_SECRET)
    require_approved_tags(settings)
    require_endpoints(settings)
    return contracts


def check_disclosures(settings: Settings) -> None:
    """Refuse a directory or worklist of a source of which no feed speaks; a workspace that has none needs no feeds for it."""
    import delivery
    import ingestion
    from delivery.destinations import refuse_unknown_sources

    disclosures = [place.disclosure for place in delivery.read_destinations(settings).values()]
    if any(disclosure and disclosure.sources for disclosure in disclosures):
        refuse_unknown_sources(settings.workspace, {feed.source for feed in ingestion.load_feeds(settings)})
