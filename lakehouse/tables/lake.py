"""The lake as its one writer sees it: tables by contract name, and the few kinds of write a night needs.

Every write checks names and types against the contract; CHECK constraints are part of the tables themselves.
A frame is a Spark ``DataFrame``, a ``pyarrow.Table`` or, to append or replace a partition, a ``pyarrow.RecordBatchReader``;
what is Arrow is written without a JVM, and of a reader no more than a few batches are held.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import DBT_DATABASE, Contract
from lakehouse.contracts.reading import Contracts, contract_names
from lakehouse.errors import ContractBroken
from lakehouse.query.desk import newest_sql, table_errors
from lakehouse.query.files import delta_for_readers, file_paths, open_delta
from lakehouse.query.words import spark_literal
from lakehouse.settings.settings import Settings, is_cluster
from lakehouse.states.rule import Change, Mode, Scope, StateCounts, check_state
from lakehouse.tables.commits import Commits, condition, contract_errors, partitions_of
from lakehouse.tables.creation import create_table
from lakehouse.tables.frames import Frame, fit, is_arrow, is_reader, rows_without_keys
from lakehouse.tables.staged_files import StagedFile

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection
    from pyspark.sql import DataFrame, SparkSession

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
        # Told the process of the JVM.
        self.when_spark_starts: Callable[[int | None], None] = lambda _: None

    # -- where and what ------------------------------------------------------------------------------------

    @property
    def spark(self) -> SparkSession:
        """The Spark session of this process, started when first asked for."""
        with self._starting:
            if self._spark is None:
                from lakehouse.session.session import jvm_pid, start_session

                self._spark = start_session(self.settings)
                self.when_spark_starts(jvm_pid())
                self._spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", self.run_id)
            return self._spark

    @property
    def is_on_cluster(self) -> bool:
        """Whether Spark's workers are other processes than this one; no session is started to find out, but one submitted."""
        if self._spark is not None or "PYSPARK_GATEWAY_PORT" in os.environ:
            return not str(self.spark.sparkContext.master).startswith("local")
        return is_cluster(self.settings)

    def is_for_spark(self, *, is_large: bool) -> bool:
        """Tell whether Spark does a piece of work: always or never by ``engine``; with ``auto`` the large ones on a cluster."""
        engine = self.settings.engine.name
        return engine == "spark" or (engine == "auto" and is_large and self.is_on_cluster)

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
            table = self._own_delta(contract_of_table.name)
            table.alter.add_columns([Field(f.name, f.type, nullable=True) for f in added])
        prefix = "delta.constraints."
        configuration = table.metadata().configuration
        now = {k.removeprefix(prefix): v for k, v in configuration.items() if k.startswith(prefix)}
        rules = contract_of_table.checks()
        if now == rules:
            return
        table = self._own_delta(contract_of_table.name)
        with contract_errors(self.contracts.get(contract_of_table.name)):
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
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION {spark_literal(path)}")
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
        """Give the table as ``deltalake`` sees it (no JVM), for reading alone: others may hold the same object."""
        return delta_for_readers(Path(self.path(table)), table, version)

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

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which the files of its tables are."""
        return (self.settings.lake,)

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
        with table_errors(table):
            return source.to_pyarrow_table(columns=list(columns) if columns else None, filters=filters)

    # -- writing -------------------------------------------------------------------------------------------

    def append(self, table: str, frame: Frame) -> None:
        """Add rows; columns are matched to the contract by name and cast."""
        with self._locks[table], contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                self._commits(table).append(rows_of_table)
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
        with self._locks[table], contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            where = condition(equals)
            nothing_there = not self._commits(table).files_that_may_hold(equals)
            if is_arrow(rows_of_table):
                if nothing_there and not is_reader(rows_of_table) and not rows_of_table.num_rows:
                    return
                if nothing_there:
                    self._commits(table).append(rows_of_table)
                else:
                    self._commits(table).replace(rows_of_table, where)
            elif nothing_there:
                rows_of_table.write.format("delta").mode("append").save(self.path(table))
            else:
                writer = rows_of_table.write.format("delta").mode("overwrite").option("replaceWhere", where)
                writer.save(self.path(table))

    def take_files(self, table: str, files: Sequence[StagedFile], **equals: Any) -> None:
        """Replace exactly the rows whose columns equal ``equals`` by those of Parquet files, which become the table's own.

        In one commit; without ``equals`` the rows are added. The files must lie on the lake's disk, best in an ``exchange``
        folder, and must not be changed any more; only where a file of the table also holds other rows is anything written
        again.
        """
        with self._locks[table], contract_errors(self.contracts.get(table)):
            self._commits(table).replace_by_files(files, equals)

    def overwrite(self, table: str, frame: Frame) -> None:
        """Replace the whole table, its columns included; for derived tables and small current ones."""
        with self._locks[table], contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                self._commits(table).overwrite(rows_of_table)
            else:
                writer = (
                    rows_of_table.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
                )
                writer.save(self.path(table))

    def extend_dictionary(self, table: str, frame: Frame) -> None:
        """Add the rows whose key the dictionary does not hold yet; never change or remove one."""
        key = list(self.contracts.get(table).key)
        with self._locks[table], contract_errors(self.contracts.get(table)):
            rows_of_table = fit(frame, self.contracts.get(table))
            if is_arrow(rows_of_table):
                keys = self.read_arrow(table, columns=key)
                fresh = rows_without_keys(rows_of_table, keys) if keys.num_rows else rows_of_table
                if fresh.num_rows:
                    self._commits(table).append(fresh)
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
        with self._locks[table], contract_errors(self.contracts.get(table)):
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

        commits = self._commits(change.contract.name)
        delta = commits.newest()
        incoming = incoming_rows(change, rows)
        if delta.file_uris():
            changes = changes_by_duckdb(
                change, table_sql(delta, change.contract.name), incoming, lake=self.settings.lake
            )
        else:
            changes = inserts(first_rows(change, incoming))
        counts = Counter(changes["_action"].to_pylist())
        if set(counts) == {"insert"}:
            commits.append(changes.drop_columns(["_action"]), delta=delta)
        elif counts:
            commits.merge(delta, changes, change)
        return StateCounts(counts["insert"], counts["update"], counts["delete"])

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
                self._commits(table).merge_by_spark(self.spark, changes, change)
            return StateCounts(counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))
        finally:
            changes.unpersist()

    def delete_partitions(self, table: str, where: str) -> None:
        """Take whole partitions out of a table, in one commit and without writing a file again."""
        with self._locks[table]:
            self._commits(table).delete(where)

    def restore(self, table: str, version: int) -> None:
        """Bring a table back to an earlier version by a new commit, unless it is there already.

        What left the disk since, because it was kept no longer, does not come back: its partitions are left out.
        """
        if self.version(table) == version:
            return
        from lakehouse.query.deletions import deleted_paths

        paths = {str(f.relative_to(self.path(table))) for f in file_paths(self.delta(table, version))}
        missing = paths & deleted_paths(self.settings, table)
        self._own_delta(table).restore(version, ignore_missing_files=bool(missing))
        if missing:
            self.delete_partitions(table, partitions_of(missing))

    def _own_delta(self, table: str) -> DeltaTable:
        """Give the table as an object that nobody else holds, to be changed."""
        return open_delta(Path(self.path(table)), table)

    def _commits(self, table: str) -> Commits:
        return Commits(
            self.contracts.get(table),
            Path(self.path(table)),
            self.run_id,
            lambda: self.exchange(f"{table}.parts"),
        )


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
