"""What the specifications of segments may name: the tags of the registry and the destinations of delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.language.checks import Surroundings


def read_surroundings(settings: Settings) -> Surroundings:
    """Give the tags and destinations of a workspace as segments see them (no Spark, no JVM)."""
    import delivery
    import tags
    from segments.language.checks import Surroundings
    from vocabulary.tag_facts import read_tag_facts

    facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
    destinations = delivery.read_destinations(settings)
    return Surroundings(facts, {name: place.ceiling for name, place in destinations.items()})
