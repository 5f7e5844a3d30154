"""A kernel between two engines: rows brought to its types on the way in, and held to what it declares on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.engine.engine import Kernel


@dataclass(frozen=True)
class Buckets:
    """Calls a kernel once per bucket."""

    kernel: Kernel

    def answer(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Give what the kernel says of one bucket, each table with the columns and types it declares."""
        takes, gives = self.kernel.takes, self.kernel.gives
        answers = self.kernel({name: tables[name].select(s.names).cast(s) for name, s in takes.items()})
        return {name: answers[name].select(s.names).cast(s) for name, s in gives.items()}
