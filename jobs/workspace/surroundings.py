"""What the specifications of segments may name: the tags of the registry and the destinations of delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.language.checks import Surroundings
    from segments.language.offers import Offers


def read_surroundings(settings: Settings, *, with_offers: bool = False) -> Surroundings:
    """Give the tags and destinations of a workspace as segments see them (no Spark, no JVM).

    ``with_offers`` also the open offers and the names of events of the newest publication; a night, which may bring others,
    looks by itself.
    """
    import delivery
    import tags
    from segments.language.checks import Surroundings
    from vocabulary.tag_facts import read_tag_facts

    facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
    destinations = delivery.read_destinations(settings)
    ceilings = {name: place.ceiling for name, place in destinations.items()}
    dry = frozenset(name for name, place in destinations.items() if place.deliver == "dry")
    worklists = frozenset(name for name, place in destinations.items() if place.kind == "worklist")
    if not with_offers:
        return Surroundings(facts, ceilings, dry_destinations=dry, worklists=worklists)
    return Surroundings(
        facts, ceilings, _published_offers(settings), _published_event_names(settings), dry, worklists
    )


def _published_event_names(settings: Settings) -> frozenset[str] | None:
    """Give the names of all events of the newest publication; None where it has none or none was made."""
    from lakehouse.query.published import newest_publication, open_publication

    publication = newest_publication(settings)
    if publication is None or "trusted.events" not in publication.tables:
        return None
    with open_publication(settings) as published:
        rows = published.rows("SELECT DISTINCT event_name FROM trusted.events")
    return frozenset(name for (name,) in rows) or None


def _published_offers(settings: Settings) -> Offers | None:
    """Give the open offers of the newest publication; None where none was made."""
    from lakehouse.query.desk import open_table
    from lakehouse.query.published import newest_publication
    from segments.language.offers import COLUMNS, TABLE, open_offers

    publication = newest_publication(settings)
    version = publication.tables.get(TABLE) if publication else None
    if version is None:
        return None
    return open_offers(open_table(settings, TABLE, version).to_pyarrow_table(columns=COLUMNS).to_pylist())
