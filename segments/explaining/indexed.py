"""The index that makes previews quick: made for the newest publication and the segments of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.query.published import open_publication
from segments.explaining.snapshot import catalogue_on, without_faults
from segments.indexing.making import IndexSize, make_index

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.language.checks.findings import Surroundings


def index_newest(settings: Settings, surroundings: Surroundings) -> tuple[IndexSize, list[str]]:
    """Make the index of the newest publication; give its size, and the codes of segments whose faults leave them out.

    A workspace that published nothing raises ``UsageError``.
    """
    with open_publication(settings) as published:
        catalogue = catalogue_on(published, surroundings)
        segments, faulty = without_faults(catalogue.segments, catalogue)
        return make_index(published, catalogue.site, segments), faulty
