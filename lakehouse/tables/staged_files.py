"""Parquet files that become part of a table as they are: checked, linked into its folder, committed.

What was written once in the shape of a table need not be read and written again. The rules of the contract are held
against the files before that: types, required columns (by the files' own counts of nulls), allowed values.
A crash between link and commit leaves files that no version of the table names, as with any writer of Delta.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.clock import now
from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken
from lakehouse.query.desk import open_scratch
from lakehouse.query.files import parquet_sql
from lakehouse.tables.creation import CHECKPOINT_INTERVAL

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

# Longer bounds are cut in the log. A reader skips a file whose bound is missing where other files have one, so none is left out.
LONGEST_BOUND = 32
_AFTER_ALL = "\U0010ffff"


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file with the columns of a table but for those that partition it; ``partition`` has their values."""

    path: Path
    partition: Mapping[str, date | str]


@dataclass(frozen=True)
class _Measured:
    """A staged file with what its footer says: rows and, per plain column, nulls, least and greatest value."""

    file: StagedFile
    rows: int
    nulls: Mapping[str, int]
    bounds: Mapping[str, tuple[Any, Any]]


def take_files(
    table: DeltaTable,
    root: Path,
    contract: Contract,
    files: Sequence[StagedFile],
    *,
    in_place_of: Sequence[Mapping[str, Any]],
    run_id: str,
) -> None:
    """Add files to the table in folder ``root``, in one commit ``in_place_of`` files it has (rows of ``get_add_actions``).

    Files without rows are left out. A file stays where it was too, for whoever still reads it there. ``ContractBroken`` names the rule a row breaks, before
    anything is linked.
    """
    from deltalake import CommitProperties, PostCommitHookProperties
    from deltalake.transaction import AddAction, RemoveAction

    files_with_stats = [one for one in (_with_stats(file, contract) for file in files) if one.rows]
    _check(files_with_stats, contract)
    if not files_with_stats and not in_place_of:
        return
    actions: list[Any] = []
    linked: list[Path] = []
    coming = table.version() + 1
    is_checkpoint_due = (coming + 1) % CHECKPOINT_INTERVAL == 0
    try:
        for at, one in enumerate(files_with_stats):
            # A version is committed once, so only a file that no version names can be there already.
            place = _partition_folder(one.file, contract) / f"part-{coming:08d}-{at:05d}.parquet"
            (root / place).parent.mkdir(exist_ok=True)
            linked.append(root / place)
            _link(one.file.path, root / place)
            file_stat = (root / place).stat()
            values: dict[str, str | None] = {n: str(one.file.partition[n]) for n in contract.partition_by}
            actions.append(
                AddAction(
                    str(place), file_stat.st_size, values, int(file_stat.st_mtime * 1000), True, _stats(one)
                )
            )
        at_last = int(now().timestamp() * 1000)
        for old in in_place_of:
            values = {n: _text(old[f"partition.{n}"]) for n in contract.partition_by}
            actions.append(RemoveAction(old["path"], True, at_last, old["size_bytes"], values))
        table.create_write_transaction(
            actions,
            mode="append",
            schema=table.schema(),
            partition_by=list(contract.partition_by) or None,
            commit_properties=CommitProperties(custom_metadata={"userMetadata": run_id}),
            # Looking for logs that may go takes longer than the commit, and finds some after a checkpoint only.
            post_commithook_properties=PostCommitHookProperties(
                cleanup_expired_logs=None if is_checkpoint_due else False
            ),
        )
    except BaseException:
        for path in linked:
            path.unlink(missing_ok=True)
        raise


def staged_rows(files: Sequence[StagedFile], contract: Contract) -> pa.RecordBatchReader:
    """Give the rows of staged files, the partition columns among them, batch by batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = contract.arrow_schema()

    def rows() -> Iterator[pa.RecordBatch]:
        for file in files:
            with pq.ParquetFile(file.path) as opened:
                for batch in opened.iter_batches():
                    columns = {name: batch.column(name) for name in batch.schema.names}
                    columns |= {
                        name: pa.repeat(pa.scalar(value, schema.field(name).type), batch.num_rows)
                        for name, value in file.partition.items()
                    }
                    yield pa.record_batch([columns[f.name].cast(f.type) for f in schema], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, rows())


def holds_only(file: Mapping[str, Any], equals: Mapping[str, Any]) -> bool:
    """Tell whether a file's entry in the log proves that all its rows equal ``equals``."""
    for name, value in equals.items():
        if f"partition.{name}" in file:
            if _text(file[f"partition.{name}"]) != str(value):
                return False
        elif not (file.get(f"min.{name}") == file.get(f"max.{name}") == value) or file.get(
            f"null_count.{name}"
        ):
            return False
    return True


def _with_stats(file: StagedFile, contract: Contract) -> _Measured:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as opened:
        footer, schema = opened.metadata, opened.schema_arrow
    fields = [field for field in contract.arrow_schema() if field.name not in contract.partition_by]
    names = [field.name for field in fields]
    if sorted(names) != sorted(schema.names):
        different_names = sorted({*names} ^ {*schema.names})
        raise ContractBroken(f"rows staged for {contract.name} do not have its columns: {different_names[0]}")
    for field in fields:
        if not _is_same(field.type, schema.field(field.name).type):
            raise ContractBroken(
                f"rows staged for {contract.name} have {field.name} as {schema.field(field.name).type}, not {field.type}"
            )
    nulls: dict[str, int] = {}
    bounds: dict[str, tuple[Any, Any]] = {}
    for at in range(footer.num_columns):
        name = footer.schema.column(at).path
        if name in names:
            groups = [footer.row_group(g).column(at).statistics for g in range(footer.num_row_groups)]
            if all(s is not None and s.has_null_count for s in groups):
                nulls[name] = sum(s.null_count for s in groups)
            bound = _bounds(groups, schema.field(name).type)
            if bound is not None:
                bounds[name] = bound
    return _Measured(file, footer.num_rows, nulls, bounds)


def _bounds(groups: Sequence[pq.Statistics | None], kind: pa.DataType) -> tuple[Any, Any] | None:
    """Give the least and the greatest value of a column for the log: whole numbers, days, and texts, whose bounds may be cut: then all values lie between them."""
    import pyarrow as pa

    is_plain = pa.types.is_integer(kind) or pa.types.is_date32(kind) or pa.types.is_string(kind)
    if not is_plain or not groups or not all(s is not None and s.has_min_max for s in groups):
        return None
    low, high = min(s.min for s in groups if s), max(s.max for s in groups if s)
    if isinstance(low, str):
        return low[:LONGEST_BOUND], high if len(high) <= LONGEST_BOUND else high[:LONGEST_BOUND] + _AFTER_ALL
    return low, high


def _is_same(one: pa.DataType, other: pa.DataType) -> bool:
    """Tell whether two types are one, whatever a list calls its elements."""
    import pyarrow as pa

    if pa.types.is_list(one) and pa.types.is_list(other):
        return _is_same(one.value_type, other.value_type)
    return bool(one == other)


def _check(files_with_stats: Sequence[_Measured], contract: Contract) -> None:
    """Hold the contract's rules against the files; those a footer answers cost nothing."""
    if not contract.checked:
        return
    rules_to_ask: dict[str, list[Path]] = {}
    for one in files_with_stats:
        rules = [
            rule
            for rule, column in contract.rules()
            if not (rule == f"{column} IS NOT NULL" and one.nulls.get(column) == 0)
            and column not in contract.partition_by
        ]
        for rule in rules:
            rules_to_ask.setdefault(rule, []).append(one.file.path)
    for rule, paths in rules_to_ask.items():
        if _is_broken(rule, paths):
            raise ContractBroken(f"a row for {contract.name} breaks the contract: {rule}")


def _is_broken(rule: str, paths: Sequence[Path]) -> bool:
    with open_scratch(folders=sorted({path.parent for path in paths})) as desk:
        rows = parquet_sql(paths, "hive_partitioning = false")
        return bool(desk.value(f"SELECT count(*) FROM ({rows}) WHERE NOT coalesce({rule}, false)"))


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _partition_folder(file: StagedFile, contract: Contract) -> Path:
    return Path(*(f"{name}={file.partition[name]}" for name in contract.partition_by))


def _stats(one: _Measured) -> str:
    """Give the statistics of a file as Delta's log writes them."""
    lows = {name: _bound(low) for name, (low, _) in one.bounds.items()}
    highs = {name: _bound(high) for name, (_, high) in one.bounds.items()}
    return json.dumps(
        {"numRecords": one.rows, "minValues": lows, "maxValues": highs, "nullCount": dict(one.nulls)},
        ensure_ascii=False,
    )


def _bound(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
