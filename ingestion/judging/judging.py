"""What becomes of every record: mapped, refused with reasons, or a duplicate; ready to be counted and written.

Records are mapped in this process where ``ingestion.feeds.translation`` is sure of the answer and by Spark elsewhere. The
result is held in DuckDB: ``mapped`` is one row per record (a view, computed when it is read, never stored), ``outcome``
the few bytes of each that counting and the search for duplicates need.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from ingestion.feeds.feeds import Feed
from ingestion.judging import duplicates
from ingestion.judging.duplicates import Records
from ingestion.judging.mapping import TableMap, duck_type, map_in_process, table_maps, text_hash
from ingestion.records.landing import ARRIVED_ON, Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.tables.staged_files import StagedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

# What DuckDB may hold beside the JVM; beyond, it writes to the exchange folder.
MEMORY = "1GB"
BATCH_ROWS = 100_000
# A file of a table is closed where it has grown to this size.
FILE_BYTES = 256 << 20
# Columns with more values than this in a row group get no dictionary: trying costs a third of the writing.
DICTIONARY_VALUES = 1_000


@dataclass
class Judgement:
    """The judged records of one feed. ``close`` frees what it holds."""

    feed: Feed
    maps: list[TableMap]
    connection: duckdb.DuckDBPyConnection
    nights: Nights
    gone: dict[str, int] = field(default_factory=dict)

    def close(self) -> None:
        """Give the memory back."""
        self.connection.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """Give per file: ``records, refused, twins, stands`` and per table ``k`` its rows ``in<k>`` and ``dup<k>``."""
        made = {
            "records": "count(*)",
            "refused": _times("NOT is_ok"),
            "stands": _times("is_ok AND NOT is_gone"),
        }
        for table in self.maps:
            entries = range(len(table.entries))
            made[f"in{table.index}"] = " + ".join(
                _times(f"h{table.index}_{i} IS NOT NULL AND NOT is_gone") for i in entries
            )
        gone = (
            "SELECT _file, _row, true AS found FROM twins UNION ALL SELECT _file, _row, true FROM conflicts"
        )
        is_any = self.gone["twins"] or self.gone["conflicts"]
        source = (
            f"(SELECT o.*, g.found IS NOT NULL AS is_gone FROM outcome o LEFT JOIN ({gone}) g USING (_file, _row))"
            if is_any
            else "(SELECT *, false AS is_gone FROM outcome)"
        )
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        rows = self._rows(f"SELECT _file, {', '.join(made.values())} FROM {source} GROUP BY _file")
        for path, *numbers in rows:
            found[path].update(zip(made, numbers, strict=True))
        marked = {
            "twins": "twins",
            "conflicts": "refused",
            **{f"dup{t.index}": f"dup{t.index}" for t in self.maps},
        }
        for name, counted in marked.items():
            if self.gone[name]:
                for path, count in self._rows(f"SELECT _file, count(*) FROM {name} GROUP BY _file"):
                    found[path][counted] += count
        return found

    def refused(self) -> list[dict[str, Any]]:
        """Give ``_file, _row, _raw, reasons`` of every refused record, in the order of the files."""
        refused = (
            "SELECT CAST(_file AS VARCHAR) AS _file, _row, reasons FROM outcome WHERE NOT is_ok "
            "UNION ALL SELECT _file, _row, [reason] FROM conflicts"
        )
        query = (
            f"SELECT r._file, r._row, r._raw, x.reasons FROM records r JOIN ({refused}) x USING (_file, _row) "
            "ORDER BY r._file, r._row"
        )
        return self.connection.cursor().sql(query).to_arrow_table().to_pylist()

    def accepted_sql(self, table: TableMap) -> str:
        """Give the SQL of a table's accepted rows: business columns, ``_feed, _file, _row, _arrived_on``."""
        found = table.contract.business_columns.values()
        parts = []
        for i in range(len(table.entries)):
            given = {column.name for column in table.mapped(i)}
            made = []
            for column in found:
                if column.name == "source":
                    made.append(f"'{self.feed.source}' AS source")
                elif column.name in given:
                    made.append(f"{table.place(i, column.name)} AS {column.name}")
                else:
                    made.append(f"CAST(NULL AS {duck_type(column.type)}) AS {column.name}")
            made += [f"'{self.feed.feed}' AS _feed", "_file", "_row", "_night AS _arrived_on"]
            lost = [f"SELECT _file, _row FROM {name}" for name in ("twins", "conflicts") if self.gone[name]]
            if self.gone["refused"]:
                lost.append("SELECT CAST(_file AS VARCHAR) AS _file, _row FROM outcome WHERE NOT is_ok")
            if self.gone[f"dup{table.index}"]:
                lost.append(f"SELECT _file, _row FROM dup{table.index} WHERE _entry = {i}")
            left = f" ANTI JOIN ({' UNION ALL '.join(lost)}) USING (_file, _row)" if lost else ""
            parts.append(
                # That a record is not refused is known; its reasons are not asked for again.
                f"SELECT {', '.join(made)} FROM (FROM mapped WHERE in{table.index}_{i}){left}"
            )
        return " UNION ALL ".join(parts)

    def accepted(self, table: TableMap) -> pa.RecordBatchReader:
        """Give the accepted rows of a table batch by batch, in the types of its contract."""
        reader = self.connection.cursor().sql(self.accepted_sql(table)).to_arrow_reader(BATCH_ROWS)
        wanted = {f.name: f.type for f in table.contract.arrow_schema()}
        schema = pa.schema([pa.field(f.name, wanted.get(f.name, f.type)) for f in reader.schema])
        return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))

    def first_accepted(self, table: TableMap, rows: int) -> pa.Table:
        """Give the first accepted rows of a table, in the order of the files."""
        query = f"SELECT * FROM ({self.accepted_sql(table)}) ORDER BY _file, _row LIMIT {rows}"
        made = self.connection.cursor().sql(query).to_arrow_table()
        wanted = {f.name: f.type for f in table.contract.arrow_schema()}
        return made.cast(pa.schema([pa.field(f.name, wanted.get(f.name, f.type)) for f in made.schema]))

    def accepted_files(self, table: TableMap, folder: Path) -> list[StagedFile]:
        """Write the accepted rows of a table as Parquet files below ``folder``, which must not be there yet."""
        rows, how = self.accepted_sql(table), f"FORMAT parquet, DICTIONARY_SIZE_LIMIT {DICTIONARY_VALUES}"
        how += (
            f", PARTITION_BY ({ARRIVED_ON})" if self.nights.is_history else f", FILE_SIZE_BYTES {FILE_BYTES}"
        )
        if table.contract.shape == "fact" and not self.nights.is_history:
            rows = f"SELECT * EXCLUDE ({ARRIVED_ON}) FROM ({rows})"
        self.connection.cursor().execute(f"COPY ({rows}) TO '{folder}' ({how})")
        return [
            StagedFile(file, {ARRIVED_ON: self._night_of(file)}) for file in sorted(folder.rglob("*.parquet"))
        ]

    def _night_of(self, file: Path) -> date:
        if self.nights.is_history:
            return date.fromisoformat(file.parent.name.partition("=")[2])
        return self.nights.last

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.cursor().execute(query).fetchall()


def judge_records(
    feed: Feed,
    folder: Path,
    nights: Nights,
    *,
    by_spark: Callable[[RecordFiles, Path], None],
    known: Mapping[str, str],
    in_process: bool = True,
) -> Judgement:
    """Judge the records that were read into ``folder/records``.

    ``by_spark`` maps records into Parquet in another folder, for what this process must not compute itself;
    with ``in_process`` false that is everything. ``known`` gives, per fact table, DuckDB SQL of the keys that earlier
    nights brought within the feed's days of looking back.
    """
    maps = table_maps(feed)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute(f"SET temp_directory = '{folder / 'spilled'}'")
    judgement = Judgement(feed, maps, connection, nights)
    files = RecordFiles(feed, folder / "records")
    connection.execute(f"CREATE VIEW records AS {files.sql(nights)}")
    records = Records(feed, maps, connection, nights.is_history)
    made = map_in_process(feed) if in_process else None
    if made is None:
        by_spark(files, folder / "careful")
        mapped = _careful(folder / "careful", maps)
        duplicates.make_outcome(records, _with_text_hash(feed, maps, mapped))
    else:
        mapped = made.known_sure
        duplicates.make_outcome(records, made.told)
        unsure = RecordFiles(feed, folder / "unsure")
        if records.count("outcome WHERE NOT is_sure"):
            _export_unsure(connection, unsure)
            by_spark(unsure, folder / "careful")
            careful = _careful(folder / "careful", maps)
            duplicates.correct_outcome(records, _with_text_hash(feed, maps, careful))
            mapped = (
                f"SELECT * EXCLUDE (is_sure) FROM ({made.told}) WHERE is_sure UNION ALL BY NAME {careful}"
            )
    connection.execute(f"CREATE VIEW mapped AS {mapped}")
    judgement.gone = duplicates.find_duplicates(records, known)
    return judgement


def _parquet(files: Sequence[Path]) -> str:
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def _export_unsure(connection: duckdb.DuckDBPyConnection, into: RecordFiles) -> None:
    """Write the records this process is not sure of for Spark."""
    unsure = "(SELECT CAST(_file AS VARCHAR) AS _file, _row FROM outcome WHERE NOT is_sure)"
    columns, how = into.export_sql()
    into.folder.mkdir()
    connection.execute(
        f"COPY (SELECT {columns} FROM records SEMI JOIN {unsure} USING (_file, _row)) TO '{into.whole}' {how}"
    )


def _careful(folder: Path, maps: Sequence[TableMap]) -> str:
    """Give the SQL of the records Spark has mapped."""
    casts = []
    for table in maps:
        for i in range(len(table.entries)):
            for column in table.mapped(i):
                place = table.place(i, column.name)
                casts.append(f"CAST({place} AS {duck_type(column.type)}) AS {place}")
    replaced = f" REPLACE ({', '.join(casts)})" if casts else ""
    return f"SELECT *{replaced}, len(reasons) = 0 AS is_ok FROM {_parquet(sorted(folder.glob('*.parquet')))}"


def _with_text_hash(feed: Feed, maps: Sequence[TableMap], careful: str) -> str:
    return (
        f"SELECT m.*, true AS is_sure, r.said FROM ({careful}) m "
        f"JOIN (SELECT _file, _row, {text_hash(feed, maps)} AS said FROM records) r USING (_file, _row)"
    )


def _times(condition: str) -> str:
    return f"CAST(coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS BIGINT)"
