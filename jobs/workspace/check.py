"""The check of a workspace: every YAML file is read, nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.workspace.surroundings import read_surroundings
from jobs.workspace.tag_approvals import require_approved_tags
from lakehouse.contracts.contract import Contract
from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.expression import parse_expression
from lakehouse.gates.expectations import check_suites
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    from identity.rules.rules import Rules
    from ingestion.feeds.feeds import Feed
    from segments.language.catalogue import Catalogue
    from segments.language.checks.findings import SpecFinding

OBSERVATIONS = "trusted.identifier_observations"


def check_workspace(settings: Settings, *, needs_feeds: bool = True) -> list[Contract]:
    """Read every YAML file of the workspace and look for the secrets that a night needs; the first fault raises ``SettingsInvalid``.

    Give the contracts that follow from it, which a lake has beside the written ones: of the landing tables of feeds, and of the wide tag tables.
    A workspace that is new has no feeds: with ``needs_feeds=False`` only its other files are read.
    """
    import segments
    import tags
    from delivery.transmission.endpoints import require_endpoints

    segments.require_whole_decisions(settings)
    contracts, destinations = check_files(settings, needs_feeds=needs_feeds)
    for name in secret_names(settings, destinations):
        settings.require_secret(name)
    tags.check_versions(settings)
    require_approved_tags(settings)
    require_endpoints(settings)
    return contracts


def check_files(settings: Settings, *, needs_feeds: bool = True) -> tuple[list[Contract], tuple[str, ...]]:
    """Read every YAML file of the workspace and look for no secret; give the contracts, and the destinations of its segments."""
    import identity
    import ingestion
    import segments
    import tags

    contracts = ingestion.landing_contracts(settings) if needs_feeds else []
    check_disclosures(settings)
    rules = identity.load_rules(settings)
    require_rules_of_namespaces(ingestion.load_feeds(settings) if needs_feeds else [], rules)
    contracts += tags.tag_contracts(settings)
    check_suites(settings, contracts)
    return contracts, segments.check_specs(settings, read_surroundings(settings))


def require_rules_of_namespaces(feeds: Iterable[Feed], rules: Rules) -> None:
    """Refuse a feed that writes identifiers of a namespace that no rule speaks of: its values would never join anybody.

    Rules that leave out shipped ones (``extends: nothing``) mean it, so those are known all the same.
    """
    from identity.rules.rules import shipped_rules

    shipped = shipped_rules()
    for feed in feeds:
        for at, target in enumerate(feed.targets):
            entries = target.entries if target.table == OBSERVATIONS else ()
            for number, entry in enumerate(entries):
                for namespace in parse_expression(entry.get("namespace", "null")).results:
                    if rules.rule(namespace) is None and shipped.rule(namespace) is None:
                        place = ("targets", at, *target.place(number, "namespace"))
                        raise feed.fault(_without_rule(namespace, rules), *place)


def _without_rule(namespace: str, rules: Rules) -> str:
    if f"{namespace}@*" in rules.namespaces:
        return (
            f"a value of '{namespace}' is another person's in every app or system: write '{namespace}@<name>'"
        )
    kind, at, _ = namespace.partition("@")
    kinds = [name.partition("@")[0] for name in rules.namespaces]
    return (
        f"no rule speaks of the namespace '{namespace}', so that its values would join nobody: declare"
        f" '{kind}{at and '@*'}' below 'namespaces' of identity.yml if it is meant{did_you_mean(kind, kinds)}"
    )


def secret_names(settings: Settings, destinations: Iterable[str]) -> list[str]:
    """Give the names of the secrets that a night of the workspace needs for these destinations and for itself."""
    import segments
    from delivery.signature import verification_secret
    from delivery.staging import secret_name
    from identity.rules.workspace_key import SECRET
    from segments.approving.decisions import SECRET as DECISIONS_SECRET

    places = tuple(destinations)
    names = [SECRET, *map(secret_name, places), *map(verification_secret, places)]
    return [*names, DECISIONS_SECRET] if segments.needs_decisions_key(settings) else names


def checked_catalogue(settings: Settings) -> Catalogue:
    """Give the segments of a workspace with the fault of every file that bears on them; what can be checked without such a file is."""
    from segments.language.catalogue import read_catalogue

    catalogue = read_catalogue(
        settings, read_surroundings(settings, with_offers=True, is_check=True), is_check=True
    )
    if catalogue.site.unread.destinations:
        return catalogue
    try:
        check_disclosures(settings)
    except SettingsInvalid as fault:
        if fault.file not in {other.file for other in catalogue.faults}:
            return replace(catalogue, faults=(*catalogue.faults, fault))
    return catalogue


def segment_findings(settings: Settings, catalogue: Catalogue) -> list[SpecFinding]:
    """Give every finding over the segments of ``checked_catalogue`` and over sets of micro-segments: faults, warnings of the publication, missing approvals."""
    from lakehouse.clock import now
    from segments.approving.roles import ROLES_FILE
    from segments.approving.standing import approval_findings, read_authority
    from segments.explaining.publication_warnings import publication_warnings
    from segments.grouping.declaration import micro_findings
    from segments.language.complaints import with_consequence

    today = now().astimezone(settings.zone).date()
    lacking: list[SpecFinding] = []
    try:
        lacking = approval_findings(catalogue.segments, read_authority(settings), today)
    except SettingsInvalid as fault:
        if fault.file != str(settings.workspace / ROLES_FILE):
            raise
        roles = with_consequence(fault, "approvals are not checked")
        catalogue = replace(catalogue, faults=(*catalogue.faults, roles))
    findings = [*catalogue.findings(), *micro_findings(catalogue.site)]
    return [*findings, *publication_warnings(settings, catalogue), *lacking]


def check_disclosures(settings: Settings) -> None:
    """Refuse a directory or worklist of a source of which no feed speaks; a workspace that has none needs no feeds for it."""
    import delivery
    import ingestion
    from delivery.destinations import refuse_unknown_sources

    disclosures = [place.disclosure for place in delivery.read_destinations(settings).values()]
    if any(disclosure and disclosure.sources for disclosure in disclosures):
        refuse_unknown_sources(settings.workspace, {feed.source for feed in ingestion.load_feeds(settings)})
