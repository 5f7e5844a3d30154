"""Files that are unusable as a whole: a night refuses each one, and says in one sentence what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv


def _change_encoding(path: Path) -> None:
    path.write_bytes(path.read_bytes().decode("gb18030").encode("utf-16"))


def _remove_content(path: Path) -> None:
    path.write_bytes(b"")


def _remove_second_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _remove_first_column(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line.partition(",")[2] for line in lines), encoding="utf-8")


# fault → feed, file, and the function that spoils the file
FAULTS: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "wrong_encoding": ("core_products", "products.csv", _change_encoding),
    "empty_file": ("core_managers", "managers.csv", _remove_content),
    "damaged_archive": ("core_cards", "cards.csv.gz", _remove_second_half),
    "missing_column": ("core_branches", "branches.csv", _remove_first_column),
}


def spoil(out: Path, business_date: date) -> int:
    """Spoil one file of a night for each fault, list the files in `truth/faults.csv`, and give their number."""
    for feed, name, fault in FAULTS.values():
        fault(out / "inbox" / feed / business_date.isoformat() / name)
    table = pa.table({
        "fault": list(FAULTS),
        "feed": [feed for feed, _, _ in FAULTS.values()],
        "business_date": [business_date] * len(FAULTS),
        "file": [name for _, name, _ in FAULTS.values()],
    })  # fmt: skip
    pacsv.write_csv(table, out / "truth" / "faults.csv", pacsv.WriteOptions(quoting_style="none"))
    return len(FAULTS)
