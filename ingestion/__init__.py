"""Files of a channel become rows of trusted tables, by feed YAML alone; no channel is known by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestion.ingest import IngestResult, ingest, planned_inputs

__all__ = ["IngestResult", "ingest", "planned_inputs"]


def __getattr__(name: str) -> Any:
    """Import the room's entry points when first asked for, so that reading feeds starts no heavy library."""
    if name in __all__:
        from ingestion import ingest as module

        return getattr(module, name)
    raise AttributeError(name)
