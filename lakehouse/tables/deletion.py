"""Rows that are kept no longer: days that leave a table, and later their files that leave the disk.

A day leaves by a commit of the night, which readers see with its publication. Its files stay while a publication that
somebody may still read names them. What left the disk is said in ``ops.file_deletions``, before it is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.deletions import FILE_DELETIONS, deleted_paths
from lakehouse.query.files import open_delta
from lakehouse.query.words import literals

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class DeletedFiles:
    """How many files left the disk, and their bytes."""

    files: int = 0
    bytes: int = 0


def delete_days(lake: Lake, table: str, column: str, days: Collection[date]) -> int:
    """Take days out of a table that is partitioned by them, in one commit; give the number of their rows.

    The files stay on disk until ``delete_files``, for those who read an earlier version.
    """
    if not days:
        return 0
    before = lake.row_count(table)
    lake.delete_partitions(table, f"{column} IN ({literals([str(day) for day in sorted(days)])})")
    return before - lake.row_count(table)


def delete_files(
    lake: Lake, table: str, versions: Iterable[int], business_date: date, digest_paths: Collection[str]
) -> DeletedFiles:
    """Delete from disk the files of a table that neither its newest version nor one of ``versions`` names.

    ``digest_paths`` are those that a publication named: they are entered in ``ops.file_deletions`` first.
    """
    folder = Path(lake.path(table))
    newest = open_delta(folder, table)
    # A file that was taken out, brought back by a refused night and taken out again stands there twice.
    paths = sorted(
        set(
            newest.vacuum(
                retention_hours=0,
                dry_run=True,  # what it deletes itself would be two more versions, which no publication names
                enforce_retention_duration=False,
                full=True,
                keep_versions=sorted({*versions, newest.version()}),
            )
        )
    )
    present = [path for path in paths if (folder / path).is_file()]
    entered = deleted_paths(lake.settings, table)
    lake.append_rows(
        FILE_DELETIONS,
        [
            {"table_name": table, "path": path, "deleted_on": business_date}
            for path in present
            if path in digest_paths and path not in entered
        ],
    )
    size = 0
    for path in present:
        size += (folder / path).stat().st_size
        (folder / path).unlink()
        if not any((folder / path).parent.iterdir()):
            (folder / path).parent.rmdir()
    return DeletedFiles(len(present), size)
