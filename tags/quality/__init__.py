"""Quality of tags: measures of each tag, their history, and what judges them."""

from __future__ import annotations

from tags.quality.measures import measure_tags

__all__ = ["measure_tags"]
