"""Connected components of links in tables, by the cheapest way that fits: see ``identity.engine.choice``."""

from __future__ import annotations

from identity.engine.choice import Components, components

__all__ = ["Components", "components"]
