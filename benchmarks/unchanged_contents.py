"""What a finished night holds, as hashes that no order changes: tables, published files, summaries.

It reads the lake by ``deltalake`` and ``duckdb`` and imports nothing of the product, so that it reads an old and a new
layout of the code alike.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset

DIGITS = 32
PUBLICATIONS = "ops.publications"
_PRODUCT = "hashes the product's own code, which a refactoring changes"

# table → column → why two equal nights differ in it. Nothing else is left out of a table's hash.
VOLATILE_COLUMNS: dict[str, dict[str, str]] = {
    "ops.runs": {
        "run_id": _PRODUCT,
        "fingerprint": _PRODUCT,
        "written_at": "is the clock",
        "seconds": "is a duration",
        "counts": "is JSON that holds durations; the summaries print the same counts without them",
    },
    PUBLICATIONS: {
        "run_id": _PRODUCT,
        "fingerprint": _PRODUCT,
        "published_at": "is the clock",
        "tables": "counts commits of each table; the lines `commits` print them and the lines `table` their rows",
        "summary": "is JSON that holds durations and a path; the lines `summary` print the rest of it",
        "contents": "hashes files, whose names and bytes their writer chooses",
        "previous_hash": "hashes the publication before, its clock included",
    },
    "ops.file_digests": {
        "path": "is chosen by the writer",
        "bytes": "is what the writer made of the rows",
        "sha256": "is what the writer made of the rows",
    },
}
# key of the JSON summary, at any depth → why it does not count.
VOLATILE_KEYS: dict[str, str] = {
    "seconds": "is a duration",
    "report": "is a path of this machine; the lines `report` print what stands in the file",
}
# what a report shows of the clock → why it does not count.
VOLATILE_REPORT = re.compile(r"<h2>Seconds per step</h2>.*?</table>", flags=re.S)


@dataclass(frozen=True)
class Content:
    """How many rows a table has, and a hash that their order does not change."""

    rows: int
    hash: str

    def __str__(self) -> str:
        return f"rows={self.rows} hash={self.hash}"


def content_of(rows: pa.Table | pa.dataset.Dataset, *, without: Collection[str] = ()) -> Content:
    """Give the content of rows; columns in ``without`` do not count.

    It adds up two 64-bit halves of a hash of each row: equal rows count as often as they stand there. Each value
    is text beside its null mark, so that null is not the empty text; names and types of columns count too.
    """
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("rows_to_hash", rows)
    schema = connection.execute("DESCRIBE rows_to_hash").fetchall()
    columns = sorted((name, kind) for name, kind, *_ in schema if name not in without)
    values = ", ".join(_text_sql(name, kind) for name, kind in columns)
    count, low, high = connection.execute(
        "SELECT count(*), sum(md5_number_lower(value)::HUGEINT), sum(md5_number_upper(value)::HUGEINT) "
        f"FROM (SELECT to_json([{values}])::VARCHAR AS value FROM rows_to_hash)"
    ).fetchall()[0]
    return Content(count, text_hash(json.dumps([columns, count, str(low), str(high)])))


def _text_sql(name: str, kind: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    is_nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))
    return f"to_json({column})::VARCHAR" if is_nested else f"{column}::VARCHAR"


def text_hash(text: str) -> str:
    """Give the first digits of a text's sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def file_hash(path: Path) -> str:
    """Give the first digits of the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def files_hash(folder: Path, files: list[Path]) -> str:
    """Give one hash of the names and bytes of several files below a folder."""
    return text_hash("\n".join(f"{file.relative_to(folder)} {file_hash(file)}" for file in sorted(files)))


def lake_lines(lake: Path) -> Iterator[str]:
    """Give a line for each table at its newest published version, and what each publication names.

    A table that no publication names, as those of ``ops``, is read at its newest version.
    """
    from deltalake import DeltaTable

    history = publications(lake)
    versions = {entry["table"]: entry["version"] for entry in history[-1]["tables"]} if history else {}
    for folder in sorted(lake.glob("[a-z]*/*/_delta_log")):
        name = f"{folder.parent.parent.name}.{folder.parent.name}"
        table = DeltaTable(folder.parent, version=versions.get(name))
        content = content_of(table.to_pyarrow_dataset(), without=VOLATILE_COLUMNS.get(name, {}))
        scope = "published" if name in versions else "newest"
        yield f"table {name} {scope} {content}"
    for publication in history:
        day = publication["business_date"].isoformat()
        commits = {entry["table"]: entry["version"] for entry in publication["tables"]}
        yield f"commits {publication['seq']} {day} tables={len(commits)} hash={_json_hash(commits)}"
        for key, value in steady(json.loads(publication["summary"])).items():
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _json_hash(value)
            yield f"summary {publication['seq']} {day} {key} {text}"


def publications(lake: Path) -> list[dict[str, Any]]:
    """Give the rows of ``ops.publications`` in order; none before the first night."""
    from deltalake import DeltaTable

    folder = lake / PUBLICATIONS.replace(".", "/")
    if not (folder / "_delta_log").is_dir():
        return []
    return sorted(DeltaTable(folder).to_pyarrow_table().to_pylist(), key=lambda row: row["seq"])


def steady(value: Any) -> Any:
    """Give a JSON value without the keys in ``VOLATILE_KEYS``, at any depth."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in VOLATILE_KEYS}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def _json_hash(value: Any) -> str:
    return text_hash(json.dumps(value, ensure_ascii=False, sort_keys=True))


def published_lines(folder: Path) -> Iterator[str]:
    """Give a line for each published file."""
    for file in _files(folder):
        yield f"file {file.relative_to(folder)} bytes={file.stat().st_size} sha256={file_hash(file)}"


def delivery_lines(inbox: Path) -> Iterator[str]:
    """Give a line for each folder of the inbox, of names and bytes of all files in it."""
    for folder in sorted(entry for entry in inbox.iterdir() if entry.is_dir()):
        files = _files(folder)
        yield f"delivery {folder.name} files={len(files)} hash={files_hash(folder, files)}"


def truth_lines(folder: Path) -> Iterator[str]:
    """Give a line for each file of the simulator's truth."""
    for file in _files(folder):
        yield f"truth {file.relative_to(folder)} sha256={file_hash(file)}"


def report_lines(folder: Path) -> Iterator[str]:
    """Give a line for each report, without its seconds."""
    for file in _files(folder):
        text = VOLATILE_REPORT.sub("", file.read_text(encoding="utf-8"))
        yield f"report {file.relative_to(folder)} hash={text_hash(text)}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
