"""The digests of data files (``ops.file_digests``), taken when a publication names a file for the first time.

The publication is the one place that all writers pass: Spark, ``deltalake``, dbt, files that are taken as they are. Files
never change once a version of a table names them, so each is read once. sha256, because any machine can repeat it
(``sha256sum``) and processors compute it as fast as a disk reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StepFailed
from lakehouse.query.desk import newest_sql, open_scratch, table_folder
from lakehouse.query.files import file_paths
from lakehouse.query.hashing import file_hash
from lakehouse.query.published import TableContent
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from lakehouse.tables.lake import Lake

FILE_DIGESTS = "ops.file_digests"


@dataclass(frozen=True)
class FileDigest:
    """The bytes of one data file: its table, its path in the folder of the table, and the publication that named it first."""

    table: str
    path: str
    bytes: int
    sha256: str
    seq: int


def read_digests(settings: Settings, tables: Iterable[str] | None = None) -> dict[str, dict[str, FileDigest]]:
    """Give the recorded digests of all tables, or of those named, by table and path; empty before the first publication."""
    if not (table_folder(settings, FILE_DIGESTS) / "_delta_log").is_dir():
        return {}
    names = None if tables is None else set(tables)
    with open_scratch(folders=[table_folder(settings, FILE_DIGESTS)]) as desk:
        rows = desk.rows(
            f"SELECT table_name, path, bytes, sha256, seq FROM ({newest_sql(settings, FILE_DIGESTS)})"
        )
    digests: dict[str, dict[str, FileDigest]] = {}
    for row in rows:
        entry = FileDigest(*row)
        if names is None or entry.table in names:
            digests.setdefault(entry.table, {})[entry.path] = entry
    return digests


def relative_paths(table: DeltaTable) -> list[str]:
    """Give the paths of the files of a version in the folder of the table, sorted."""
    files = file_paths(table)
    if not files:
        return []
    # Files of a table without partitions lie in its folder, others in folders named ``column=value`` below it.
    folder = files[0].parents[len(table.metadata().partition_columns)]
    return [str(file.relative_to(folder)) for file in files]


def table_digest(digests: Iterable[FileDigest]) -> str:
    """Give the hash over the digests of a table's files: one line ``sha256  bytes  path`` each, sorted by path."""
    lines = (f"{one.sha256}  {one.bytes}  {one.path}\n" for one in sorted(digests, key=lambda one: one.path))
    return sha256("".join(lines).encode()).hexdigest()


def hash_files(files: Iterable[Path]) -> list[str]:
    """Give the sha256 of each file, on several cores at once."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(file_hash, files))


def record_digests(lake: Lake, tables: Mapping[str, DeltaTable], seq: int) -> dict[str, TableContent]:
    """Record the digests of the files of ``tables`` that no earlier publication named; give the contents.

    ``StepFailed`` where a file that was published before is gone or has another size.
    """
    digests_by_table = read_digests(lake.settings)
    files = {name: relative_paths(table) for name, table in tables.items()}
    fresh = [
        (name, path)
        for name, paths in files.items()
        for path in paths
        if path not in digests_by_table.get(name, {})
    ]
    places = [Path(lake.path(name)) / path for name, path in fresh]
    entries = [
        FileDigest(name, path, place.stat().st_size, digest, seq)
        for (name, path), place, digest in zip(fresh, places, hash_files(places), strict=True)
    ]
    fresh_of_table: dict[str, dict[str, FileDigest]] = {}
    for entry in entries:
        fresh_of_table.setdefault(entry.table, {})[entry.path] = entry
    contents = {}
    for name, paths in files.items():
        digests_by_path = digests_by_table.get(name, {}) | fresh_of_table.get(name, {})
        digests = [digests_by_path[path] for path in paths]
        for digest in digests:
            fault = size_fault(Path(lake.path(name)), digest)
            if fault:
                raise StepFailed(f"{name} cannot be published: {fault}")
        contents[name] = TableContent(
            _row_count(tables[name]), len(digests), sum(one.bytes for one in digests), table_digest(digests)
        )
    lake.append_rows(
        FILE_DIGESTS,
        [
            {"table_name": e.table, "path": e.path, "bytes": e.bytes, "sha256": e.sha256, "seq": e.seq}
            for e in entries
        ],
    )
    return contents


def size_fault(folder: Path, digest: FileDigest) -> str | None:
    """Give what is wrong with a file at first sight: it is gone, or has another size; None where nothing is."""
    place = folder / digest.path
    if not place.is_file():
        return f"{digest.path} is missing"
    size = place.stat().st_size
    if size != digest.bytes:
        return f"{digest.path} has {size} bytes, {digest.bytes} were published"
    return None


def file_faults(settings: Settings, digests: Iterable[FileDigest]) -> list[tuple[FileDigest, str]]:
    """Give the files that are gone, have another size or other bytes than recorded, with what is wrong; each is read whole."""
    faults, present = [], []
    for digest in digests:
        fault = size_fault(table_folder(settings, digest.table), digest)
        if fault:
            faults.append((digest, fault))
        else:
            present.append(digest)
    places = [table_folder(settings, digest.table) / digest.path for digest in present]
    faults += [
        (digest, f"{digest.path} does not have the bytes that were published")
        for digest, value in zip(present, hash_files(places), strict=True)
        if value != digest.sha256
    ]
    return faults


def _row_count(table: DeltaTable) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = pa.table(table.get_add_actions(flatten=True)).column("num_records").to_pylist()
    if None in counts:  # a writer that leaves no statistics
        counts = [pq.read_metadata(file).num_rows for file in file_paths(table)]
    return int(sum(counts))
