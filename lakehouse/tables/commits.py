"""Commits to one table: rows added or put in place of others, states merged, a violated contract as one sentence.

Every commit names the run that makes it. What is Arrow is written without a JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken
from lakehouse.query.files import open_delta
from lakehouse.query.words import literal, literals
from lakehouse.states.rule import Change
from lakehouse.tables.frames import Frame, is_reader, with_lost_columns
from lakehouse.tables.packing import write_packed, writer_properties
from lakehouse.tables.staged_files import StagedFile, holds_only, staged_rows, take_files

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable
    from pyspark.sql import DataFrame, SparkSession

# From here on the files of a write are made by several cores; fewer rows are written by ``deltalake``, in one.
_MANY_ROWS = 500_000


@dataclass(frozen=True)
class Commits:
    """The commits of one run to one table; ``parts`` lends an empty folder on the disk of the lake."""

    contract: Contract
    folder: Path
    run_id: str
    parts: Callable[[], AbstractContextManager[Path]]

    def newest(self) -> DeltaTable:
        """Give the newest version of the table."""
        return open_delta(self.folder, self.contract.name)

    def append(self, rows: pa.Table, *, delta: DeltaTable | None = None) -> None:
        """Add Arrow rows; ``delta`` is the newest version of the table, where it is open already."""
        delta = delta or self.newest()
        if _is_worth_parts(rows, delta, self.contract):
            self._write_parts(delta, rows, in_place_of=[])
        else:
            self._write(delta, with_lost_columns(rows, delta.schema().fields), mode="append")

    def overwrite(self, rows: pa.Table) -> None:
        """Put Arrow rows in place of all that the table holds, its columns included."""
        delta = self.newest()
        if _is_worth_parts(rows, delta, self.contract):
            self._write_parts(delta, rows, in_place_of=_add_actions(delta))
        else:
            self._write(delta, rows, mode="overwrite", schema_mode="overwrite")

    def replace(self, rows: pa.Table, condition: str) -> None:
        """Put Arrow rows in place of those for which the SQL ``condition`` holds."""
        delta = self.newest()
        rows = with_lost_columns(rows, delta.schema().fields)
        self._write(delta, rows, mode="overwrite", predicate=condition)

    def replace_by_files(self, files: Sequence[StagedFile], equals: dict[str, Any]) -> None:
        """Put the rows of Parquet files in place of those that equal ``equals``; without these they are added."""
        old = self.files_that_may_hold(equals) if equals else []
        if all(holds_only(file, equals) for file in old):
            self._take(self.newest(), files, in_place_of=old)
        else:
            self.replace(staged_rows(files, self.contract), condition(equals))

    def delete(self, condition: str) -> None:
        """Take out the rows for which the SQL ``condition`` holds; one over partitions alone writes no file."""
        self.newest().delete(condition, commit_properties=self._properties())

    def merge(self, delta: DeltaTable, changes: pa.Table, change: Change) -> None:
        """Carry out the ``changes`` of a state, each row with its ``_action``."""
        on = " AND ".join(f't."{name}" = s."{name}"' for name in ("_feed", "valid_from", *change.key))
        values = {f'"{name}"': f's."{name}"' for name in change.contract.columns}
        (
            delta.merge(
                changes,
                predicate=on,
                source_alias="s",
                target_alias="t",
                commit_properties=self._properties(),
                writer_properties=writer_properties(changes.schema),
            )
            .when_matched_delete(predicate="s._action = 'delete'")
            .when_matched_update(updates=values)
            .when_not_matched_insert(updates=values)
            .execute()
        )

    def merge_by_spark(self, spark: SparkSession, changes: DataFrame, change: Change) -> None:
        """Carry out the ``changes`` of a state, a Spark frame whose rows have an ``_action``."""
        from delta.tables import DeltaTable as SparkDeltaTable

        on = " AND ".join(f"t.{name} <=> s.{name}" for name in ("_feed", "valid_from", *change.key))
        values: dict[str, Any] = {f"`{name}`": f"s.`{name}`" for name in change.contract.columns}
        (
            SparkDeltaTable.forPath(spark, str(self.folder))
            .alias("t")
            .merge(changes.alias("s"), on)
            .whenMatchedDelete(condition="s._action = 'delete'")
            .whenMatchedUpdate(set=values)
            .whenNotMatchedInsert(values=values)
            .execute()
        )

    def files_that_may_hold(self, equals: dict[str, Any]) -> list[dict[str, Any]]:
        """Give from the Delta log alone the files that may hold rows that equal ``equals``."""
        return [
            file
            for file in _add_actions(self.newest())
            if all(_may_equal(file, column, value) for column, value in equals.items())
        ]

    def _write(self, delta: DeltaTable, rows: pa.Table, **options: Any) -> None:
        from deltalake import write_deltalake

        write_deltalake(
            delta,
            rows,
            partition_by=list(self.contract.partition_by) or None,
            commit_properties=self._properties(),
            writer_properties=writer_properties(rows.schema),
            **options,
        )

    def _write_parts(self, delta: DeltaTable, rows: pa.Table, *, in_place_of: list[dict[str, Any]]) -> None:
        with self.parts() as folder:
            files = [StagedFile(file, {}) for file in write_packed(rows, folder)]
            self._take(delta, files, in_place_of=in_place_of)

    def _take(
        self, delta: DeltaTable, files: Sequence[StagedFile], *, in_place_of: list[dict[str, Any]]
    ) -> None:
        take_files(delta, self.folder, self.contract, files, in_place_of=in_place_of, run_id=self.run_id)

    def _properties(self) -> CommitProperties:
        from deltalake import CommitProperties

        return CommitProperties(custom_metadata={"userMetadata": self.run_id})


def condition(equals: dict[str, Any]) -> str:
    """Give the SQL condition that columns equal values."""
    return " AND ".join(f"{column} = {literal(value)}" for column, value in equals.items())


def partitions_of(paths: Iterable[str]) -> str:
    """Give the SQL condition of the partitions in which files lie, by their paths below the folder of their table."""
    parts = {part for path in paths for part in Path(path).parts[:-1]}
    columns: dict[str, list[str]] = {}
    for part in sorted(parts):
        column, _, value = part.partition("=")
        columns.setdefault(column, []).append(unquote(value))
    return " AND ".join(f"{column} IN ({literals(values)})" for column, values in columns.items())


@contextmanager
def contract_errors(contract: Contract) -> Iterator[None]:
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


def _may_equal(file: dict[str, Any], column: str, value: Any) -> bool:
    if f"partition.{column}" in file:
        return str(file[f"partition.{column}"]) == str(value)
    low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
    if low is None or high is None:
        return True
    return str(low) <= str(value) <= str(high) if isinstance(low, str) else low <= value <= high
