"""The files that left the disk because their rows are kept no longer, as those learn it who read an older publication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.errors import UsageError
from lakehouse.query.desk import newest_sql, open_scratch, table_folder
from lakehouse.query.files import file_paths
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable

FILE_DELETIONS = "ops.file_deletions"


def deleted_paths(settings: Settings, table: str) -> set[str]:
    """Give the paths of the files of a table that were deleted on purpose, relative to its folder."""
    folder = table_folder(settings, FILE_DELETIONS)
    if not (folder / "_delta_log").is_dir():
        return set()
    with open_scratch(folders=[folder]) as desk:
        rows = desk.rows(
            f"SELECT path FROM ({newest_sql(settings, FILE_DELETIONS)}) WHERE table_name = ?", [table]
        )
    return {path for (path,) in rows}


def require_rows(settings: Settings, table: str, delta: DeltaTable, night: str) -> None:
    """Raise ``UsageError`` where a version of a table, that of the publication of ``night``, names files that were deleted."""
    folder = table_folder(settings, table)
    missing = {str(file.relative_to(folder)) for file in file_paths(delta) if not file.is_file()}
    if missing and missing <= deleted_paths(settings, table):
        raise UsageError(
            f"what {table} held on {night} is not there whole any more: {len(missing)} of its files were deleted because their "
            "rows are kept no longer (retention in cdp.yml or of the table); ask a newer night"
        )
