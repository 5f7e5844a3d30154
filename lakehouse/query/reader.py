"""Whoever reads tables at fixed versions: the lake as a night has left it so far, or a publication.

What is computed from a ``TableReader`` is the same for both, so what a night will decide can be told before it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from lakehouse.settings.settings import Settings


class TableReader(Protocol):
    """Reads tables of a workspace by their names and never writes; ``Lake`` and ``Published`` are two."""

    settings: Settings

    def exists(self, table: str) -> bool:
        """Tell whether there is such a table."""

    def delta(self, table: str) -> DeltaTable:
        """Give a table at the version that is read."""

    def read_arrow(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        *,
        filters: list[tuple[str, str, Any]] | None = None,
    ) -> pa.Table:
        """Give the rows of a table as an Arrow table; ``filters`` as ``deltalake`` takes them."""
