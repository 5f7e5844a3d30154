"""The lake as its one writer sees it: tables by contract name, and the few kinds of write a night needs.

Every write checks names and types against the contract; CHECK constraints are part of the tables themselves.
A frame is a Spark ``DataFrame``, a ``pyarrow.Table`` or, to append or replace a partition, a ``pyarrow.RecordBatchReader``;
what is Arrow is written without a JVM, and of a reader no more than a few batches are held.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import Contract
from lakehouse.contracts.reading import Contracts, contract_names
from lakehouse.errors import ContractBroken
from lakehouse.query.desk import newest_sql
from lakehouse.query.words import literal
from lakehouse.settings.settings import Settings
from lakehouse.states.rule import Change, Mode, Scope, StateCounts, check_state
from lakehouse.tables.creation import create_table
from lakehouse.tables.frames import Frame, fit, is_arrow, is_reader, with_lost_columns
from lakehouse.tables.packing import write_packed, writer_properties
from lakehouse.tables.staged_files import StagedFile, holds_only, staged_rows, take_files

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection
    from pyspark.sql import DataFrame, SparkSession

DBT_DATABASE = "tags_work"
# From here on the files of a write are made by several cores; fewer rows are written by `deltalake`, in one.
_MANY_ROWS = 500_000
# What Spark's in-memory catalog of this process knows: table → folder.
_catalog: dict[str, str] = {}


class Lake:
    """Tables of one lake for one writer; open it with ``open_lake`` and hold the lock while writing."""

    def __init__(
        self, settings: Settings, *, run_id: str = "adhoc", spark: SparkSession | None = None
    ) -> None:
        self.settings = settings
        self.run_id = run_id
        self.contracts = Contracts()
        self._spark = spark
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._starting = threading.Lock()

    # -- where and what ------------------------------------------------------------------------------------

    @property
    def spark(self) -> SparkSession:
        """The Spark session of this process, started when first asked for."""
        with self._starting:
            if self._spark is None:
                from lakehouse.session.session import start_session

                self._spark = start_session(self.settings)
                self._spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", self.run_id)
            return self._spark

    @property
    def is_on_cluster(self) -> bool:
        """Whether Spark's workers are other machines than this process's."""
        return not str(self.spark.sparkContext.master).startswith("local")

    def path(self, table: str) -> str:
        """Give the folder of a table; ``tags_work`` tables belong to dbt and have no contract."""
        database, _, name = table.partition(".")
        if database != DBT_DATABASE:
            self.contracts.get(table)
        return str(self.settings.lake / database / name)

    def exists(self, table: str) -> bool:
        """Tell whether the table has been created on disk."""
        return (Path(self.path(table)) / "_delta_log").is_dir()

    def create(self, tables: Iterable[str] | None = None) -> None:
        """Create every table that has a written contract (or those named) and is not there yet, empty; bring older ones to their contract."""
        for name in tables if tables is not None else contract_names():
            contract_of_table = self.contracts.get(name)
            if not create_table(contract_of_table, Path(self.path(name))):
                self._align(contract_of_table)

    def _align(self, contract_of_table: Contract) -> None:
        """Bring an older table to its contract: columns it has gained, CHECKs that have changed."""
        table = self.delta(contract_of_table.name)
        columns_of_table = {field.name for field in table.schema().fields}
        missing = [field for field in contract_of_table.arrow_schema() if field.name not in columns_of_table]
        if missing and contract_of_table.shape != "derived":
            import pyarrow as pa
            from deltalake import Field, Schema

            added = Schema.from_arrow(pa.schema(missing)).fields
            table.alter.add_columns([Field(f.name, f.type, nullable=True) for f in added])
        prefix = "delta.constraints."
        configuration = table.metadata().configuration
        now = {k.removeprefix(prefix): v for k, v in configuration.items() if k.startswith(prefix)}
        rules = contract_of_table.checks()
        if now == rules:
            return
        with _contract_errors(self.contracts.get(contract_of_table.name)):
            for name in [name for name, rule in now.items() if rules.get(name) != rule]:
                table.alter.drop_constraint(name)
            for name in [name for name, rule in rules.items() if now.get(name) != rule]:
                table.alter.add_constraint({name: rules[name]})

    def register(self, tables: Iterable[str]) -> None:
        """Make tables known to Spark SQL by name (dbt and SQL text need it; ``read`` does not).

        The catalog lives as long as the JVM: a name that another lake of this process holds is taken over.
        """
        for name in tables:
            path = self.path(name)
            if _catalog.get(name) == path or not self.exists(name):
                continue
            database = name.partition(".")[0]
            self.spark.sql(f"CREATE DATABASE IF NOT EXISTS {database}")
            if name in _catalog:
                self.spark.sql(f"DROP TABLE IF EXISTS {name}")
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION '{path}'")
            _catalog[name] = path

    def version(self, table: str) -> int:
        """Give the newest Delta version of the table."""
        return self.delta(table).version()

    def row_count(self, table: str) -> int:
        """Give the number of rows from the Delta log alone."""
        import pyarrow as pa

        files = pa.table(self.delta(table).get_add_actions(flatten=True))
        return sum(files.column("num_records").to_pylist())

    def delta(self, table: str, version: int | None = None) -> DeltaTable:
        """Give the table as ``deltalake`` sees it (no JVM)."""
        from deltalake import DeltaTable

        return DeltaTable(self.path(table), version=version)

    @contextmanager
    def exchange(self, name: str) -> Iterator[Path]:
        """Give an empty folder to pass Parquet between the JVM and Python; it is gone after the block."""
        folder = self.settings.lake / "_exchange" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def relation(self, table: str, connection: DuckDBPyConnection) -> str:
        """Give SQL for ``connection`` that reads the newest version of a table from its files (no JVM)."""
        return newest_sql(self.settings, table)

    # -- reading -------------------------------------------------------------------------------------------

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """Give the table's rows as this night left them so far, or as of a Delta version."""
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def read_arrow(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        filters: list[tuple[str, str, Any]] | None = None,
    ) -> pa.Table:
        """Give the table's rows as an Arrow table without a JVM; ``filters`` as ``deltalake`` takes them."""
        source = self.delta(table, version)
        return source.to_pyarrow_table(columns=list(columns) if columns else None, filters=filters)

    # -- writing -------------------------------------------------------------------------------------------

    def append(self, table: str, frame: Frame) -> None:
        """Add rows; columns are matched to the contract by name and cast."""
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                self._write_arrow(table, rows_of_table, mode="append")
            else:
                rows_of_table.write.format("delta").mode("append").save(self.path(table))

    def append_rows(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Add a few rows without a JVM; columns that a row does not name are null."""
        import pyarrow as pa

        if rows:
            self.append(table, pa.Table.from_pylist(rows, schema=self.contracts.get(table).arrow_schema()))

    def replace_partition(self, table: str, frame: Frame, **equals: Any) -> None:
        """Replace exactly the rows whose columns equal ``equals`` by ``frame``, in one commit.

        Where nothing is there to be replaced this is a plain append, which costs a third, or nothing at all.
        """
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            condition = _condition(equals)
            nothing_there = not self._may_hold(table, equals)
            if is_arrow(rows_of_table):
                if nothing_there and not is_reader(rows_of_table) and not rows_of_table.num_rows:
                    return
                if nothing_there:
                    self._write_arrow(table, rows_of_table, mode="append")
                else:
                    self._write_arrow(table, rows_of_table, mode="overwrite", predicate=condition)
            elif nothing_there:
                rows_of_table.write.format("delta").mode("append").save(self.path(table))
            else:
                writer = (
                    rows_of_table.write.format("delta").mode("overwrite").option("replaceWhere", condition)
                )
                writer.save(self.path(table))

    def take_files(self, table: str, files: Sequence[StagedFile], **equals: Any) -> None:
        """Replace exactly the rows whose columns equal ``equals`` by those of Parquet files, which become the table's own.

        In one commit; without ``equals`` the rows are added. The files must lie on the lake's disk, best in an ``exchange``
        folder, and must not be changed any more; only where a file of the table also holds other rows is anything written
        again.
        """
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            contract_of_table = self.contracts.get(table)
            old = self._may_hold(table, equals) if equals else []
            if all(holds_only(file, equals) for file in old):
                take_files(
                    self.delta(table),
                    Path(self.path(table)),
                    contract_of_table,
                    files,
                    in_place_of=old,
                    run_id=self.run_id,
                )
            else:
                rows = staged_rows(files, contract_of_table)
                self._write_arrow(table, rows, mode="overwrite", predicate=_condition(equals))

    def overwrite(self, table: str, frame: Frame) -> None:
        """Replace the whole table, its columns included; for derived tables and small current ones."""
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                self._write_arrow(table, rows_of_table, mode="overwrite", schema_mode="overwrite")
            else:
                writer = (
                    rows_of_table.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
                )
                writer.save(self.path(table))

    def extend_dictionary(self, table: str, frame: Frame) -> None:
        """Add the rows whose key the dictionary does not hold yet; never change or remove one."""
        key = list(self.contracts.get(table).key)
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                keys = self.read_arrow(table, columns=key)
                fresh = (
                    rows_of_table.join(keys, keys=key, join_type="left anti")
                    if keys.num_rows
                    else rows_of_table
                )
                if fresh.num_rows:
                    self._write_arrow(table, fresh.select(rows_of_table.column_names), mode="append")
            else:
                fresh = rows_of_table.join(self.read(table).select(*key), on=key, how="left_anti")
                fresh.select(*rows_of_table.columns).write.format("delta").mode("append").save(
                    self.path(table)
                )

    def change_states(
        self,
        table: str,
        frame: Frame,
        *,
        feed: str,
        business_date: date,
        mode: Mode,
        key: Sequence[str] | None = None,
        scope: Scope | None = None,
    ) -> StateCounts:
        """Bring a state table, or the part in ``scope``, to what ``feed`` says on ``business_date``, in one commit or none.

        ``frame`` has the contract's business columns, ``_file`` and ``_row``, one row per key. The rule stands in
        ``lakehouse.states.rule``. Arrow rows are changed without a JVM, a Spark frame by Spark.
        """
        contract = self._contract_of_state(table, frame)
        change = Change(contract, feed, business_date, mode, tuple(key or contract.key), scope)
        with self._locks[table], _contract_errors(self.contracts.get(table)):
            if is_arrow(frame):
                return self._change_by_duckdb(change, frame)
            return self._change_by_spark(change, frame)

    def load_states(
        self, table: str, rows: pa.Table, *, feed: str, nights: Sequence[date], mode: Mode
    ) -> int:
        """Write the states that ``feed`` said on many nights, in one commit; give the number of rows.

        ``rows`` has the contract's business columns, ``_file``, ``_row`` and ``_arrived_on`` (the night), one row per key
        and night. The table must hold nothing of the feed: ``ContractBroken`` otherwise.
        """
        from lakehouse.states.history import state_intervals

        if self.read_arrow(table, columns=["_feed"], filters=[("_feed", "=", feed)]).num_rows:
            raise ContractBroken(
                f"{table} holds states of {feed} already; a history goes before the first night"
            )
        states = state_intervals(rows, self.contracts.get(table), feed=feed, nights=nights, mode=mode)
        self.append(table, states)
        return states.num_rows

    def _contract_of_state(self, table: str, frame: Frame) -> Contract:
        contract_of_table = self.contracts.get(table)
        check_state(contract_of_table, frame.column_names if is_arrow(frame) else frame.columns)
        return contract_of_table

    def _change_by_duckdb(self, change: Change, rows: pa.Table) -> StateCounts:
        from lakehouse.query.files import table_sql
        from lakehouse.states.duckdb import changes_by_duckdb, first_rows, incoming_rows, inserts

        delta = self.delta(change.contract.name)
        incoming = incoming_rows(change, rows)
        if delta.file_uris():
            changes = changes_by_duckdb(change, table_sql(delta, change.contract.name), incoming)
        else:
            changes = inserts(first_rows(change, incoming))
        counts = Counter(changes["_action"].to_pylist())
        if set(counts) == {"insert"}:
            self._write_arrow(
                change.contract.name, changes.drop_columns(["_action"]), delta=delta, mode="append"
            )
        elif counts:
            self._merge_arrow(delta, changes, change)
        return StateCounts(counts["insert"], counts["update"], counts["delete"])

    def _merge_arrow(self, delta: DeltaTable, changes: pa.Table, change: Change) -> None:
        from deltalake import CommitProperties

        on = " AND ".join(f't."{name}" = s."{name}"' for name in ("_feed", "valid_from", *change.key))
        values = {f'"{name}"': f's."{name}"' for name in change.contract.columns}
        (
            delta.merge(
                changes,
                predicate=on,
                source_alias="s",
                target_alias="t",
                commit_properties=CommitProperties(custom_metadata={"userMetadata": self.run_id}),
                writer_properties=writer_properties(changes.schema),
            )
            .when_matched_delete(predicate="s._action = 'delete'")
            .when_matched_update(updates=values)
            .when_not_matched_insert(updates=values)
            .execute()
        )

    def _change_by_spark(self, change: Change, frame: Frame) -> StateCounts:
        from lakehouse.states.spark import changes_by_spark, incoming_frame

        table, path = change.contract.name, self.path(change.contract.name)
        incoming = incoming_frame(change, frame)
        if not self.delta(table).file_uris():
            incoming.write.format("delta").mode("append").save(path)
            return StateCounts(self.row_count(table))
        changes = changes_by_spark(change, self.read(table), incoming).persist()
        try:
            counts = {row["_action"]: row["count"] for row in changes.groupBy("_action").count().collect()}
            if set(counts) == {"insert"}:
                rows = changes.drop("_action").select(*change.contract.columns)
                rows.write.format("delta").mode("append").save(path)
            elif counts:
                self._merge_frame(changes, change)
            return StateCounts(counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))
        finally:
            changes.unpersist()

    def _merge_frame(self, changes: DataFrame, change: Change) -> None:
        from delta.tables import DeltaTable as SparkDeltaTable

        on = " AND ".join(f"t.{name} <=> s.{name}" for name in ("_feed", "valid_from", *change.key))
        values: dict[str, Any] = {f"`{name}`": f"s.`{name}`" for name in change.contract.columns}
        (
            SparkDeltaTable.forPath(self.spark, self.path(change.contract.name))
            .alias("t")
            .merge(changes.alias("s"), on)
            .whenMatchedDelete(condition="s._action = 'delete'")
            .whenMatchedUpdate(set=values)
            .whenNotMatchedInsert(values=values)
            .execute()
        )

    def restore(self, table: str, version: int) -> None:
        """Bring a table back to an earlier version by a new commit, unless it is there already."""
        delta = self.delta(table)
        if delta.version() != version:
            delta.restore(version)

    def _write_arrow(
        self, table: str, rows: pa.Table, *, delta: DeltaTable | None = None, **options: Any
    ) -> None:
        """Write Arrow rows; ``delta`` is the newest version of the table, where it is open already."""
        from deltalake import CommitProperties, write_deltalake

        delta = delta or self.delta(table)
        if _is_worth_parts(rows, delta, self.contracts.get(table)) and not options.get("predicate"):
            self._write_parts(table, delta, rows, is_whole=options["mode"] == "overwrite")
            return
        if options.get("schema_mode") != "overwrite":
            rows = with_lost_columns(rows, delta.schema().fields)
        metadata = CommitProperties(custom_metadata={"userMetadata": self.run_id})
        partition_by = list(self.contracts.get(table).partition_by) or None
        write_deltalake(
            delta,
            rows,
            partition_by=partition_by,
            commit_properties=metadata,
            writer_properties=writer_properties(rows.schema),
            **options,
        )

    def _write_parts(self, table: str, delta: DeltaTable, rows: pa.Table, *, is_whole: bool) -> None:
        old = _add_actions(delta) if is_whole else []
        with self.exchange(f"{table}.parts") as folder:
            files = [StagedFile(file, {}) for file in write_packed(rows, folder)]
            take_files(
                delta,
                Path(self.path(table)),
                self.contracts.get(table),
                files,
                in_place_of=old,
                run_id=self.run_id,
            )

    def _may_hold(self, table: str, equals: dict[str, Any]) -> list[dict[str, Any]]:
        """Give from the Delta log alone the files that may hold rows that equal ``equals``."""
        return [
            file
            for file in _add_actions(self.delta(table))
            if all(_may_equal(file, column, value) for column, value in equals.items())
        ]


def open_lake(
    settings: Settings,
    *,
    run_id: str = "adhoc",
    spark: SparkSession | None = None,
    contracts: Iterable[Contract] = (),
) -> Lake:
    """Give the lake of a workspace with every contracted table created.

    ``contracts`` follow from the workspace. They come before the tables: the wide tag tables are created by theirs.
    """
    lake = Lake(settings, run_id=run_id, spark=spark)
    lake.contracts.add(*contracts)
    lake.create()
    return lake


def _add_actions(delta: DeltaTable) -> list[dict[str, Any]]:
    import pyarrow as pa

    return pa.table(delta.get_add_actions(flatten=True)).to_pylist()  # type: ignore[no-any-return]


def _is_worth_parts(rows: Frame, delta: DeltaTable, contract_of_table: Contract) -> bool:
    """Tell whether rows are so many that several cores should write them, as files of the columns the table has."""
    if is_reader(rows) or rows.num_rows < _MANY_ROWS or contract_of_table.partition_by:
        return False
    from deltalake import Schema

    has, gets = delta.schema().fields, Schema.from_arrow(rows.schema).fields
    return [(field.name, field.type) for field in has] == [(field.name, field.type) for field in gets]


def _condition(equals: dict[str, Any]) -> str:
    return " AND ".join(f"{column} = {literal(value)}" for column, value in equals.items())


def _may_equal(file: dict[str, Any], column: str, value: Any) -> bool:
    if f"partition.{column}" in file:
        return str(file[f"partition.{column}"]) == str(value)
    low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
    if low is None or high is None:
        return True
    return str(low) <= str(value) <= str(high) if isinstance(low, str) else low <= value <= high


@contextmanager
def _contract_errors(contract: Contract) -> Iterator[None]:
    """Turn a violated CHECK into one sentence that names table and rule, and no value of the row."""
    from deltalake.exceptions import DeltaError

    def sentence_of(text: str) -> str | None:
        for name, rule in contract.checks().items():
            if name in text or rule in text:
                return f"a row for {contract.name} breaks the contract: {rule}"
        return None

    try:
        yield
    except ContractBroken:
        raise
    except DeltaError as wrong:
        if "validation check" not in str(wrong) and "CHECK" not in str(wrong):
            raise
        sentence = (
            sentence_of(str(wrong))
            or f"a row for {contract.name} breaks one of: {'; '.join(contract.checks().values())}"
        )
        raise ContractBroken(sentence) from None
    except Exception as wrong:
        if "DELTA_VIOLATE_CONSTRAINT" not in str(wrong) and "CHECK constraint" not in str(wrong):
            raise
        raise ContractBroken(
            sentence_of(str(wrong)) or f"a row for {contract.name} breaks its contract"
        ) from None
