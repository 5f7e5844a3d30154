"""Arrow without pandas: a quarter of a second that short commands would spend on a library they do not use."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from types import ModuleType


class _Postponed:
    """Finds no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is postponed", name=name)


@cache
def postpone_pandas() -> None:
    """Keep Arrow from importing pandas where it asks whether a list, of which it makes an array, is a pandas object.

    Arrow asks once in the life of a process, when it makes an array and when it gives one; here it gets the answer that pandas is not there. Whoever asks Arrow for
    a data frame still gets one, since it looks again where it cannot do without. Nothing changes where pandas is imported already.
    """
    import pyarrow as pa

    if "pandas" in sys.modules:
        return
    postponed = _Postponed()
    sys.meta_path.insert(0, postponed)
    try:
        pa.array([True]).to_numpy(zero_copy_only=False)
    finally:
        sys.meta_path.remove(postponed)
