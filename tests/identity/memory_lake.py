"""A lake in memory with the writes identity uses, so that a property test runs a thousand nights in a minute."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.reading import contract
from lakehouse.settings.settings import ComponentSettings, EngineSettings


class MemoryLake:
    """Tables as Arrow rows; states change by the rule of ``lakehouse.states.rule``."""

    folders = ()

    def __init__(self, workspace, *, bucket_rows=1_000_000):
        self.settings = SimpleNamespace(
            workspace=workspace,
            secret=lambda name: b"a key for tests only, 32 letters",
            engine=EngineSettings(name="duckdb", bucket_rows=bucket_rows),
            components=ComponentSettings(),
        )
        self.rows: dict[str, pa.Table] = {}
        self.versions: dict[str, list[pa.Table]] = {}

    def table(self, name):
        return self.rows.setdefault(name, pa.Table.from_pylist([], schema=contract(name).arrow_schema()))

    def copy(self):
        other = MemoryLake(self.settings.workspace, bucket_rows=self.settings.engine.bucket_rows)
        other.rows = dict(self.rows)
        other.versions = {name: list(tables) for name, tables in self.versions.items()}
        return other

    def relation(self, table, connection):
        connection.register(f"rows_of_{table.replace('.', '_')}", self.table(table))
        return f"SELECT * FROM rows_of_{table.replace('.', '_')}"

    def is_for_spark(self, *, is_large):
        return False

    @contextmanager
    def exchange(self, name):
        with TemporaryDirectory(dir=self.settings.workspace, prefix=name) as folder:
            yield Path(folder)

    def exists(self, table):
        return table in self.rows

    def version(self, table):
        """Keep the table as it is now, for who reads this version."""
        self.versions.setdefault(table, []).append(self.table(table))
        return len(self.versions[table]) - 1

    def read_arrow(self, table, columns=None, version=None):
        rows = self.table(table) if version is None else self.versions[table][version]
        return rows if columns is None else rows.select(columns)

    def _fitted(self, table, rows):
        schema = contract(table).arrow_schema()
        rows = rows.read_all() if isinstance(rows, pa.RecordBatchReader) else rows
        return rows.select(schema.names).cast(schema)

    def append(self, table, rows):
        self.rows[table] = pa.concat_tables([self.table(table), self._fitted(table, rows)])

    def append_rows(self, table, rows):
        self.append(table, pa.Table.from_pylist(rows, schema=contract(table).arrow_schema()))

    def overwrite(self, table, rows):
        self.rows[table] = self._fitted(table, rows)

    def replace_partition(self, table, rows, **equals):
        ((column, value),) = equals.items()
        known = self.table(table)
        kept = known.filter(pc.not_equal(known[column], pa.scalar(value, known[column].type)))
        self.rows[table] = pa.concat_tables([kept, self._fitted(table, rows)])

    def change_states(self, table, rows, *, feed, business_date, mode, scope=None):
        """The rule of ``lakehouse.states.rule`` once more, row by row."""
        assert mode == "snapshot"
        found, day = contract(table), business_date
        meant = None if scope is None else set(scope.values.to_pylist())
        told = [n for n in found.columns if n not in ("_feed", "valid_from", "valid_to")]
        says = {
            tuple(row[k] for k in found.key): {**row, "_feed": feed, "valid_from": day, "valid_to": None}
            for row in rows.select(told)
            .cast(pa.schema([found.arrow_schema().field(n) for n in told]))
            .to_pylist()
        }
        assert len(says) == rows.num_rows, f"two rows for {table} have one key"
        after = []
        for row in self.table(table).to_pylist():
            key = tuple(row[k] for k in found.key)
            if meant is not None and row[scope.column] not in meant:
                after.append(row)
            elif row["valid_from"] == day:
                continue  # an earlier attempt of the day
            elif row["valid_to"] is not None and row["valid_to"] != day:
                after.append(row)
            else:
                new = says.get(key)
                same = new is not None and all(new[c] == row[c] for c in found.business_columns)
                after.append({**row, "valid_to": None if same else day})
                if same:
                    del says[key]
        self.rows[table] = pa.Table.from_pylist([*after, *says.values()], schema=found.arrow_schema())
