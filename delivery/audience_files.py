"""Writing and reading the rows of an audience: Parquet, CSV (RFC 4180) or JSON lines.

One writer, rows sorted by recipient_key, fixed codec, rows per file and names: the same content gives the same
bytes. (Spark's range-sorted Parquet does not.)
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.contract.verify_audience import SUFFIX, csv_columns, describe_part, json_line_columns

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 1_000_000
LIST_SEPARATOR = "|"


def write_rows(rows: pa.Table, folder: Path, file_format: str) -> list[Path]:
    """Write ``part-00000…`` files of sorted rows below ``folder``; no rows still make one file with the columns."""
    folder.mkdir(parents=True)
    parts = []
    for number, begin in enumerate(range(0, max(rows.num_rows, 1), ROWS_PER_FILE)):
        part = folder / f"part-{number:05d}.{SUFFIX[file_format]}"
        piece = rows.slice(begin, ROWS_PER_FILE)
        {"parquet": _write_parquet, "csv": _write_csv, "json_lines": _write_json_lines}[file_format](
            piece, part
        )
        parts.append(part)
    return parts


def read_rows(folder: Path, file_format: str) -> pa.Table:
    """Give the rows of a folder as a consumer finds them: typed from Parquet, text from CSV and JSON lines."""
    import pyarrow as pa

    parts = sorted(folder.glob(f"part-*.{SUFFIX[file_format]}"))
    if file_format == "parquet":
        import pyarrow.parquet as pq

        return pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
    reader = _read_csv if file_format == "csv" else _read_json_lines
    return pa.concat_tables([reader(part) for part in parts])


def as_read(rows: pa.Table, file_format: str) -> pa.Table:
    """Give rows as ``read_rows`` would give them after ``write_rows``, to compare with what was delivered."""
    import pyarrow as pa

    if file_format == "parquet":
        return rows
    cell = csv_cell if file_format == "csv" else _json_text
    columns = {
        name: pa.array([cell(v) for v in rows[name].to_pylist()], pa.string()) for name in rows.column_names
    }
    return pa.table(columns)


def count_rows(part: Path, file_format: str) -> int:
    """Give the number of rows of one file, from the file itself."""
    return describe_part(part, file_format)[1]


def _write_parquet(rows: pa.Table, part: Path) -> None:
    import pyarrow.parquet as pq

    plain = rows.replace_schema_metadata(None).combine_chunks()
    pq.write_table(plain, part, compression="zstd", version="2.6", row_group_size=100_000, store_schema=False)


def _write_csv(rows: pa.Table, part: Path) -> None:
    with part.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(rows.column_names)
        for row in _tuples(rows):
            writer.writerow([csv_cell(value) for value in row])


def _write_json_lines(rows: pa.Table, part: Path) -> None:
    names = rows.column_names
    with part.open("w", encoding="utf-8", newline="") as text:
        for row in _tuples(rows):
            body = {name: json_value(value) for name, value in zip(names, row, strict=True)}
            text.write(json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n")


def _read_csv(part: Path) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array(column, pa.string()) for name, column in csv_columns(part).items()})


def _read_json_lines(part: Path) -> pa.Table:
    import pyarrow as pa

    columns = json_line_columns(part) or {"recipient_key": []}
    return pa.table(
        {name: pa.array(map(_json_text, column), pa.string()) for name, column in columns.items()}
    )


def _tuples(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in rows.to_batches(max_chunksize=50_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def csv_cell(value: Any) -> str:
    """Give the text of a CSV cell: of null nothing, of a list its members with ``|`` between them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return LIST_SEPARATOR.join(csv_cell(member) for member in value)
    return _text(value)


def json_value(value: Any) -> Any:
    """Exact numbers are text in JSON, because its readers make doubles of them; the manifest says the type."""
    return _text(value) if isinstance(value, (Decimal, dt.date)) else value


def _json_text(value: Any) -> str | None:
    return None if value is None else json.dumps(json_value(value), ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, dt.date) else str(value)
