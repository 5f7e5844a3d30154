"""Connected components of links: of arrays in memory, and of tables of any size (see ``identity.components.choice``)."""

from __future__ import annotations

from identity.components.choice import Components, components

__all__ = ["Components", "components"]
