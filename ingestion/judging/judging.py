"""What becomes of every record: mapped, refused with reasons, or a duplicate; ready to be counted and written.

Records are mapped in bulk where ``ingestion.feeds.translation`` is sure of the answer, and elsewhere value by value or by
Spark. The result stays at a desk (``ingestion.judging.duplicates.Records``): mapped rows are computed when they are read, never
stored, but for what Spark maps, which stays in its files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion.feeds.exact_translation import make_known
from ingestion.feeds.feeds import Feed
from ingestion.judging.duplicates import (
    Duplicates,
    HashedRecords,
    Records,
    find_duplicates,
    name_paths,
    outcome_sql,
)
from ingestion.judging.failing import without_failing
from ingestion.judging.mapping import (
    TableMap,
    duck_type,
    exact_map,
    has_text_hash,
    map_in_process,
    table_maps,
    text_hash,
)
from ingestion.records.landing import ARRIVED_ON, Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.engine.engine import Engine
from lakehouse.query.desk import Desk, Relation, open_alone
from lakehouse.query.files import folder_call
from lakehouse.query.words import literal, literals
from lakehouse.tables.staged_files import StagedFile
from vocabulary.attributes import ATTRIBUTES

# What DuckDB may hold beside the JVM; beyond, it writes to the exchange folder.
MEMORY = "1GB"
BATCH_ROWS = 100_000
# A file of a table is closed where it has grown to this size.
FILE_BYTES = 256 << 20
# Columns with more values than this in a row group get no dictionary: trying costs a third of the writing.
DICTIONARY_VALUES = 1_000


@dataclass
class FileCounts:
    """What became of one file's records; ``rows`` and ``repeated_rows`` by the index of the table.

    ``without_fault`` counts records that are neither refused nor twins. ``rows`` includes ``repeated_rows``.
    """

    records: int = 0
    refused_records: int = 0
    twins: int = 0
    without_fault: int = 0
    rows: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    repeated_rows: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class Judgement:
    """The judged records of one feed. ``close`` frees what it holds.

    ``currency`` is the workspace's: money of a row in it needs no conversion (``Column.converts``).
    """

    feed: Feed
    maps: list[TableMap]
    nights: Nights
    desk: Desk
    records: Records
    duplicates: Duplicates
    has_refused: bool
    currency: str | None = None

    def close(self) -> None:
        """Give the memory back."""
        self.desk.close()

    def counts(self) -> dict[str, FileCounts]:
        """Give what became of the records of every file that has records."""
        sums = ["count(*)", _count_if("NOT is_ok"), _count_if("is_ok AND NOT is_out")]
        for table in self.maps:
            entries = range(len(table.entries))
            sums.append(
                " + ".join(_count_if(f"h{table.index}_{i} IS NOT NULL AND NOT is_out") for i in entries)
            )
        outcome, without_rows = self.records.outcome, self.duplicates.without_rows
        out = " UNION ALL ".join(f"SELECT _file, _row, true AS is_in FROM {name}" for name in without_rows)
        source = (
            f"(SELECT o.*, d.is_in IS NOT NULL AS is_out FROM {outcome} o LEFT JOIN ({out}) d USING (_file, _row))"
            if out
            else f"(SELECT *, false AS is_out FROM {outcome})"
        )
        counts: dict[str, FileCounts] = defaultdict(FileCounts)
        for path, records, refused_count, without_fault, *rows in self.desk.rows(
            f"SELECT _file, {', '.join(sums)} FROM {source} GROUP BY _file"
        ):
            by_table = {table.index: count for table, count in zip(self.maps, rows, strict=True)}
            counts[path] = FileCounts(records, refused_count, 0, without_fault, by_table)
        for path, count in self._counts_of(self.duplicates.twins):
            counts[path].twins += count
        for path, count in self._counts_of(self.duplicates.conflicts):
            counts[path].refused_records += count
        for index, relation in self.duplicates.repeated_rows.items():
            for path, count in self._counts_of(relation):
                counts[path].repeated_rows[index] += count
        return counts

    def _counts_of(self, relation: Relation | None) -> list[tuple[Any, ...]]:
        if relation is None:
            return []
        return self.desk.rows(f"SELECT _file, count(*) FROM {relation} GROUP BY _file")

    def unknown_references(self) -> int:
        """Count the records that are refused because they refer to what another table does not hold."""
        reasons = [reference.reason for table in self.maps for reference in table.contract.references]
        if self.duplicates.conflicts is None or not reasons:
            return 0
        return int(
            self.desk.value(
                f"SELECT count(*) FROM {self.duplicates.conflicts} WHERE reason IN ({literals(reasons)})"
            )
        )

    def refused_rows(self) -> list[dict[str, Any]]:
        """Give ``_file, _row, _raw, reasons`` of every refused record, in the order of the files."""
        places = (
            "SELECT CAST(_file AS VARCHAR) AS _file, _row, reasons "
            f"FROM {self.records.outcome} WHERE NOT is_ok"
        )
        if self.duplicates.conflicts is not None:
            places += f" UNION ALL SELECT _file, _row, [reason] FROM {self.duplicates.conflicts}"
        query = (
            f"SELECT r._file, r._row, r._raw, x.reasons FROM {self.records.delivered_records} r "
            f"JOIN ({places}) x USING (_file, _row) ORDER BY r._file, r._row"
        )
        return self.desk.arrow(query).to_pylist()

    def losses(self) -> list[tuple[str, str, int]]:
        """Give file, what was left empty in its accepted records (``<reason>:<table>.<column>``), and of how many records."""
        losses = f"SELECT _file, unnest(losses) AS loss FROM {self.records.outcome} WHERE losses IS NOT NULL"
        return self.desk.rows(
            f"SELECT CAST(_file AS VARCHAR), loss, count(*) FROM ({losses}) GROUP BY ALL ORDER BY ALL"
        )

    def accepted_sql(self, table: TableMap) -> str:
        """Give the SQL of a table's accepted rows: business columns, ``_feed, _file, _row, _arrived_on``."""
        parts = []
        for i in range(len(table.entries)):
            if table.name == ATTRIBUTES:
                columns = self._attribute_columns(table, i)
            else:
                columns = self._columns(table, i)
            columns += [f"{literal(self.feed.feed)} AS _feed", "_file", "_row", "_night AS _arrived_on"]
            out = [f"SELECT _file, _row FROM {relation}" for relation in self.duplicates.without_rows]
            if self.has_refused:
                out.append(
                    f"SELECT CAST(_file AS VARCHAR) AS _file, _row FROM {self.records.outcome} WHERE NOT is_ok"
                )
            repeated = self.duplicates.repeated_rows[table.index]
            if repeated is not None:
                out.append(f"SELECT _file, _row FROM {repeated} WHERE _entry = {i}")
            anti_join = f" ANTI JOIN ({' UNION ALL '.join(out)}) USING (_file, _row)" if out else ""
            parts.append(
                # Whether a record is refused stands in the outcome; its reasons are not computed again.
                f"SELECT {', '.join(columns)} FROM (FROM {self.records.mapped_records} WHERE in{table.index}_{i}){anti_join}"
            )
        rows = " UNION ALL ".join(parts)
        # What a whole delivery leaves out ends, so an attribute without a value needs no row there.
        if table.name == ATTRIBUTES and self.feed.mode == "snapshot":
            return f"SELECT * FROM ({rows}) WHERE value IS NOT NULL"
        return rows

    def _columns(self, table: TableMap, entry: int) -> list[str]:
        places = {column.name: table.place(entry, column.name) for column in table.mapped_columns(entry)} | {
            "source": literal(self.feed.source)
        }
        columns = []
        for column in table.contract.business_columns.values():
            value = places.get(column.name, f"CAST(NULL AS {duck_type(column.type)})")
            if self.currency is not None and {column.converts, "currency"} <= places.keys():
                is_own = f"{places['currency']} = {literal(self.currency)}"
                value = f"coalesce({value}, CASE WHEN {is_own} THEN {places[str(column.converts)]} END)"
            columns.append(f"{value} AS {column.name}")
        return columns

    def _attribute_columns(self, table: TableMap, entry: int) -> list[str]:
        """Give the columns of a row for each attribute; DuckDB's text of a value is that of every engine."""
        attributes = table.attributes(entry)
        codes = [column.name for column in attributes]
        values = [f"CAST({table.place(entry, code)} AS VARCHAR)" for code in codes]
        return [
            f"{literal(self.feed.source)} AS source",
            f"{table.place(entry, 'entity')} AS entity",
            f"{table.place(entry, 'entity_key')} AS entity_key",
            f"unnest([{literals(codes)}]) AS attribute",
            f"unnest([{literals(self.feed.value_type(code) for code in codes)}]) AS value_type",
            f"unnest([{', '.join(values)}]) AS value",
        ]

    def accepted_rows(self, table: TableMap) -> pa.RecordBatchReader:
        """Give the accepted rows of a table batch by batch, in the types of its contract."""
        reader = self.desk.reader(self.accepted_sql(table), BATCH_ROWS)
        schema = _in_types_of(table, reader.schema)
        return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))

    def first_accepted_rows(self, table: TableMap, rows: int) -> pa.Table:
        """Give the first accepted rows of a table, in the order of the files."""
        query = f"SELECT * FROM ({self.accepted_sql(table)}) ORDER BY _file, _row LIMIT {rows}"
        first = self.desk.arrow(query)
        return first.cast(_in_types_of(table, first.schema))

    def accepted_files(self, table: TableMap, folder: Path) -> list[StagedFile]:
        """Write the accepted rows of a table as Parquet files below ``folder``, which must not be there yet."""
        rows, form = self.accepted_sql(table), f"FORMAT parquet, DICTIONARY_SIZE_LIMIT {DICTIONARY_VALUES}"
        form += (
            f", PARTITION_BY ({ARRIVED_ON})" if self.nights.is_history else f", FILE_SIZE_BYTES {FILE_BYTES}"
        )
        if table.contract.shape == "fact" and not self.nights.is_history:
            rows = f"SELECT * EXCLUDE ({ARRIVED_ON}) FROM ({rows})"
        self.desk.run(f"COPY ({rows}) TO {literal(folder)} ({form})")
        return [
            StagedFile(file, {ARRIVED_ON: self._night_of(file)}) for file in sorted(folder.rglob("*.parquet"))
        ]

    def _night_of(self, file: Path) -> date:
        if self.nights.is_history:
            return date.fromisoformat(file.parent.name.partition("=")[2])
        return self.nights.last


def judge_records(
    feed: Feed,
    folder: Path,
    nights: Nights,
    *,
    by_spark: Callable[[RecordFiles, Path, Sequence[str]], None] | None = None,
    engine: Engine | None = None,
    zone: str = "UTC",
    currency: str | None = None,
    earlier_keys: Mapping[str, str],
    earlier_folders: Sequence[Path] = (),
    known_rows: Mapping[str, str] | None = None,
    in_process: bool = True,
    record_files: RecordFiles | None = None,
) -> Judgement:
    """Judge the records that were read into ``folder/records``, or ``record_files``, which have what they look up.

    Of records that the quick map is not sure of, and with ``in_process`` false of all, ``by_spark`` makes Parquet in another
    folder (``map_by_spark``, with the names of the columns of the text that is hashed); without it they are mapped value by value (``exact_map``), in the workspace's time ``zone``.
    Of records that ``by_spark`` has mapped all, ``engine`` keeps the outcome and compares the hashes, in files below ``folder``; without it
    this process does. ``earlier_keys`` gives, per fact table, SQL of that engine, or DuckDB's, of the keys that
    earlier nights brought within the feed's days of looking back, from files in ``earlier_folders``. ``known_rows`` gives
    DuckDB SQL of the tables that contracts refer to; a reference to a table that is not given is not checked. ``currency`` is
    the workspace's.
    """
    maps = table_maps(feed)
    desk = open_alone(folders=[folder, *earlier_folders], memory=MEMORY, spill=folder / "spilled")
    files = record_files or RecordFiles(feed, folder / "records")
    delivered_records = desk.define("delivered", files.sql(nights))
    process = DuckDBEngine(desk)

    def sql_of_outcome(judged: str) -> str:
        return outcome_sql(
            process, feed, maps, judged, is_history=nights.is_history, file="CAST(_file AS path)"
        )

    def keep_outcome(judged: str) -> Relation:
        name_paths(desk, delivered_records)
        return desk.keep("outcome", sql_of_outcome(judged))

    def with_text_hash(careful: str) -> str:
        return (
            f"SELECT m.*, true AS is_sure, r.text_hash FROM ({careful}) m "
            f"JOIN (SELECT _file, _row, {text_hash(feed, maps)} AS text_hash FROM {delivered_records}) r USING (_file, _row)"
        )

    def map_carefully(those: str) -> str:
        if by_spark is None:
            rows = _map_exactly(desk, those, feed, zone, record_count=files.count())
            return f"SELECT *, len(reasons) = 0 AS is_ok FROM {rows}"
        return _mapped_by_spark(folder / "careful", maps)

    hashed: HashedRecords | None = None
    process_map = map_in_process(feed) if in_process else None
    if process_map is None:
        if by_spark is not None:
            by_spark(files, folder / "careful", feed.columns if has_text_hash(feed, maps) else ())
        mapped_sql = map_carefully(f"FROM {delivered_records}")
        if engine is not None:
            hashed = _hashed_records(engine, feed, maps, folder / "careful", is_history=nights.is_history)
            outcome = engine.at_desk(hashed.outcome, desk)
        else:
            outcome = keep_outcome(with_text_hash(mapped_sql))
    else:
        mapped_sql, guarded = (
            process_map.sure_sql(delivered_records),
            process_map.guarded_sql(delivered_records),
        )
        outcome = keep_outcome(guarded)
        if desk.value(f"SELECT count(*) FROM {outcome} WHERE NOT is_sure"):
            places = f"(SELECT CAST(_file AS VARCHAR) AS _file, _row FROM {outcome} WHERE NOT is_sure)"
            those = f"FROM {delivered_records} SEMI JOIN {places} USING (_file, _row)"
            if by_spark is not None:
                unsure = RecordFiles(files.feed, folder / "unsure")
                unsure.folder.mkdir()
                desk.run(unsure.export_sql(those))
                by_spark(unsure, folder / "careful", ())
            careful = map_carefully(those)
            desk.run(f"DELETE FROM {outcome} WHERE NOT is_sure")
            desk.extend(outcome, sql_of_outcome(with_text_hash(careful)))
            mapped_sql = (
                f"SELECT * EXCLUDE (is_sure) FROM ({guarded}) WHERE is_sure UNION ALL BY NAME {careful}"
            )
    records = Records(
        feed, maps, nights.is_history, delivered_records, outcome, desk.define("mapped", mapped_sql)
    )
    hashed = hashed or HashedRecords(process, outcome, records.mapped_records)
    duplicates = find_duplicates(desk, records, hashed, earlier_keys, known_rows or {})
    has_refused = desk.value(f"SELECT count(*) FROM {outcome} WHERE NOT is_ok") > 0
    return Judgement(feed, maps, nights, desk, records, duplicates, has_refused, currency)


def _hashed_records(
    engine: Engine, feed: Feed, maps: Sequence[TableMap], folder: Path, *, is_history: bool
) -> HashedRecords:
    """Give the records that Spark has mapped at the engine that compares their hashes."""
    rows = engine.read("careful", folder)
    mapped_records = engine.define(
        "mapped", f"SELECT *, true AS is_sure, size(reasons) = 0 AS is_ok FROM {rows}"
    )
    judged = f"SELECT * FROM {mapped_records}"
    sql = outcome_sql(engine, feed, maps, judged, is_history=is_history, file="_file")
    return HashedRecords(engine, engine.keep("outcome", sql), mapped_records)


def _map_exactly(desk: Desk, records: str, feed: Feed, zone: str, *, record_count: int) -> Relation:
    """Keep records mapped value by value; those that an expression fails on are refused (``ingestion.judging.failing``)."""
    import duckdb

    make_known(desk)
    try:
        return desk.keep("careful", exact_map(feed, zone)(records))
    except (duckdb.InvalidInputException, duckdb.OutOfRangeException, duckdb.ConversionException):
        sound = without_failing(desk, records, feed, zone, record_count)
        if sound is None:
            raise
        return desk.keep("careful", exact_map(feed, zone)(sound))


def _mapped_by_spark(folder: Path, maps: Sequence[TableMap]) -> str:
    """Give the SQL of the records Spark has mapped."""
    casts = []
    for table in maps:
        for i in range(len(table.entries)):
            for column in table.mapped_columns(i):
                place = table.place(i, column.name)
                casts.append(f"CAST({place} AS {duck_type(column.type)}) AS {place}")
    replacements = f" REPLACE ({', '.join(casts)})" if casts else ""
    columns = f"* EXCLUDE (text_hash){replacements}, len(reasons) = 0 AS is_ok"
    return f"SELECT {columns} FROM {folder_call(folder)}"


def _in_types_of(table: TableMap, schema: pa.Schema) -> pa.Schema:
    types = {column.name: column.type for column in table.stored_contract.arrow_schema()}
    return pa.schema([pa.field(column.name, types.get(column.name, column.type)) for column in schema])


def _count_if(condition: str) -> str:
    return f"CAST(coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS BIGINT)"
