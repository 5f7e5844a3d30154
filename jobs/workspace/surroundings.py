"""What the specifications of segments may name: the tags of the registry and the destinations of delivery."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid

if TYPE_CHECKING:
    from delivery.destinations import Destination
    from lakehouse.settings.settings import Settings
    from segments.language.checks.findings import Surroundings
    from segments.language.offers import Offers
    from vocabulary.tag_facts import TagFacts


def read_surroundings(
    settings: Settings, *, with_offers: bool = False, is_check: bool = False
) -> Surroundings:
    """Give the tags and destinations of a workspace as segments see them (no Spark, no JVM).

    ``with_offers`` also the open offers and the names of events of the newest publication; a night, which may bring others,
    looks by itself. A check goes on without files that cannot be read, and has their faults.
    """
    import delivery
    import tags
    from segments.language.checks.findings import Surroundings
    from segments.language.complaints import Unread, with_consequence
    from vocabulary.tag_facts import read_tag_facts

    faults: list[SettingsInvalid] = []
    unread = Unread()
    destinations: Mapping[str, Destination] = {}
    if is_check:
        facts, words = _readable_facts(settings, faults)
        try:
            destinations = delivery.read_destinations(settings)
        except SettingsInvalid as fault:
            faults.append(with_consequence(fault, "the destinations of segments are not checked"))
        unread = Unread(
            destinations=any(Path(str(f.file)).parent == settings.workspace for f in faults), tag_words=words
        )
    else:
        facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
        destinations = delivery.read_destinations(settings)
    ceilings = {name: place.ceiling for name, place in destinations.items()}
    dry = frozenset(name for name, place in destinations.items() if place.deliver == "dry")
    worklists = frozenset(name for name, place in destinations.items() if place.kind == "worklist")
    offers, event_names = None, None
    if with_offers:
        offers, event_names = _published_offers(settings), _published_event_names(settings)
    return Surroundings(facts, ceilings, offers, event_names, dry, worklists, unread, tuple(faults))


# An entry's own code; other words of a file of tags may be codes as well.
_CODE = re.compile(r"\bcode:\s*['\"]?(\w+)")


def _readable_facts(
    settings: Settings, faults: list[SettingsInvalid]
) -> tuple[dict[str, TagFacts], frozenset[str]]:
    """Give the tags of the files that can be read, but for those that another file defines, and the words of those files."""
    import tags
    from segments.language.complaints import with_consequence
    from vocabulary.tag_facts import read_tag_facts

    unread: list[Path] = []
    while True:
        try:
            facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY, without=unread)
            break
        except SettingsInvalid as fault:
            file = Path(str(fault.file))
            if file in unread or file.parent != settings.workspace / "tags":
                raise
            unread.append(file)
            faults.append(with_consequence(fault, "what segments ask of tags that it names is not checked"))
    texts = [file.read_bytes().decode(errors="replace") for file in unread if file.is_file()]
    defined = {code for text in texts for code in _CODE.findall(text)}
    words = frozenset(word for text in texts for word in re.findall(r"\w+", text))
    return {code: fact for code, fact in facts.items() if code not in defined}, words


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
    from lakehouse.query.desk import open_table, table_errors
    from lakehouse.query.published import newest_publication
    from segments.language.offers import COLUMNS, TABLE, open_offers

    publication = newest_publication(settings)
    version = publication.tables.get(TABLE) if publication else None
    if version is None:
        return None
    with table_errors(TABLE):
        rows = open_table(settings, TABLE, version).to_pyarrow_table(columns=COLUMNS).to_pylist()
    return open_offers(rows)
