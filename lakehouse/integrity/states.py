"""The files of tables that a night decides from, verified before it uses them.

Only files of the versions that are read: those that the newest publication names, byte by byte, and those that an
unfinished night has added since, by their presence and size.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StepFailed
from lakehouse.integrity.digests import (
    FileDigest,
    file_faults,
    read_digests,
    relative_paths,
    table_digest,
)
from lakehouse.query.desk import open_table, table_folder
from lakehouse.query.published import Publication
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.integrity")


def tables_among(publication: Publication, names: Iterable[str]) -> list[str]:
    """Give the tables of a publication that are named, or whose database is (as ``identity.``)."""
    prefixes = tuple(names)
    return sorted(
        table
        for table in publication.tables
        if any(table.startswith(name) if name.endswith(".") else table == name for name in prefixes)
    )


def published_digests(
    settings: Settings,
    publication: Publication,
    tables: Iterable[str],
    digests_by_table: dict[str, dict[str, FileDigest]] | None = None,
) -> tuple[dict[str, list[FileDigest]], list[str]]:
    """Give the digests of the files that tables have in a publication, and one sentence per table that is not as it says.

    A table whose log or whose recorded digests were changed has another content than the publication states.
    """
    digests_by_table = read_digests(settings, tables) if digests_by_table is None else digests_by_table
    digests: dict[str, list[FileDigest]] = {}
    faults = []
    for name in tables:
        paths = relative_paths(open_table(settings, name, publication.tables[name]))
        digests_by_path = digests_by_table.get(name, {})
        digests[name] = [digests_by_path[path] for path in paths if path in digests_by_path]
        content = (publication.contents or {}).get(name)
        if content is not None and table_digest(digests[name]) != content.digest:
            faults.append(
                f"{name}: its log or its rows in ops.file_digests do not name the {content.files} files that publication "
                f"{publication.seq} of {publication.business_date} published"
            )
    return digests, faults


def require_tables(settings: Settings, publication: Publication) -> None:
    """Refuse a lake where a published table is missing as a whole: the writer would begin it anew, empty."""
    for name in sorted(publication.tables):
        if not (table_folder(settings, name) / "_delta_log").is_dir():
            raise StepFailed(
                f"{name}: the table, or its _delta_log, is missing; {restore_hint(name, publication)}"
            )


def require_published_files(
    lake: Lake, publication: Publication, tables: Iterable[str], entries: Iterable[Publication]
) -> None:
    """Refuse a lake whose ``tables`` do not have the files of a publication: ``StepFailed`` with the first fault.

    ``entries`` are all publications; they tell from which day a file can be restored.
    """
    settings = lake.settings
    names = list(tables)
    if publication.contents is None:
        log.info(
            "publication %d names no digests: its files cannot be verified before the next night publishes",
            publication.seq,
        )
        return
    began = time.monotonic()
    digests, faults = published_digests(settings, publication, names)
    if faults:
        raise StepFailed(f"{faults[0]}; {restore_hint(faults[0].partition(':')[0], publication)}")
    files = [digest for name in names for digest in digests[name]]
    days = {entry.seq: entry for entry in entries}
    for digest, fault in file_faults(settings, files):
        raise StepFailed(f"{digest.table}: {fault}; {_repair(lake, digest, days, publication)}")
    log.info(
        "%d files (%.1f MB) of %d tables are those that were published, verified in %.2f s",
        len(files),
        sum(digest.bytes for digest in files) / 1e6,
        len(names),
        time.monotonic() - began,
    )


def require_bytes(settings: Settings, publication: Publication, tables: Iterable[str]) -> None:
    """Refuse small tables whose files are not those of a publication, before a command judges by what they say.

    ``StepFailed`` with the first fault. Nothing is asked of a publication from before there were digests.
    """
    names = [name for name in tables if name in publication.tables]
    if publication.contents is None or not names:
        return
    digests, faults = published_digests(settings, publication, names)
    faults += [
        f"{d.table}: {fault}" for d, fault in file_faults(settings, [d for n in names for d in digests[n]])
    ]
    if faults:
        raise StepFailed(f"{faults[0]}; {restore_hint(faults[0].partition(':')[0], publication)}")


def require_newer_files(lake: Lake, publication: Publication, tables: Iterable[str]) -> None:
    """Refuse a lake whose ``tables`` lack files that an unfinished night added after a publication, or hold them cut."""
    import pyarrow as pa

    for name in tables:
        table = lake.delta(name)
        if table.version() == publication.tables[name]:
            continue
        actions = pa.table(table.get_add_actions(flatten=True))
        sizes = dict(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))
        for path in relative_paths(table):
            place = Path(lake.path(name)) / path
            if not place.is_file() or place.stat().st_size != sizes.get(path, place.stat().st_size):
                raise StepFailed(
                    f"{name}: {path}, which an unfinished night wrote, is missing or was cut; "
                    f"{restore_hint(name, publication)}"
                )


def _repair(lake: Lake, digest: FileDigest, days: dict[int, Publication], publication: Publication) -> str:
    first = days.get(digest.seq, publication)
    sentence = restore_hint(digest.table, first)
    if lake.contracts.get(digest.table).shape == "dictionary":
        return sentence
    return f"{sentence}, or replay the nights since: cdp backfill --from {first.business_date}"


def restore_hint(name: str, publication: Publication) -> str:
    """Give what to do about a table whose bytes are not those of a publication."""
    folder = Path(*name.split("."))
    return f"restore lake/{folder} from a backup of {publication.business_date} or later"
