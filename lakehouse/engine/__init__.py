"""One computation, two places: in this process under a limit of memory, or in Spark's workers.

What is computed stands in a kernel and in SQL of words that both engines know; an engine decides where. Rows are kept
by an engine under a name that stands in the SQL of later statements.
"""

from __future__ import annotations

from lakehouse.engine.engine import Engine, Kernel, Rows

__all__ = ["Engine", "Kernel", "Rows"]
