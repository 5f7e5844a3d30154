"""The change of a state table by DuckDB gives the rows that the change by Spark gives, night after night."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.contracts.reading import contract
from lakehouse.errors import ContractBroken
from lakehouse.query.hashing import frame_hash
from lakehouse.tables.lake import Lake

TABLE = "trusted.employees"


def statements(rows: dict[str, str | None], file: str) -> pa.Table:
    """What a feed says: employee → role."""
    fields = [f for f in contract(TABLE).arrow_schema() if f.name not in ("_feed", "valid_from", "valid_to")]
    records = [
        {"source": "hr", "employee_id": key, "role": role, "_file": file, "_row": number}
        for number, (key, role) in enumerate(rows.items(), start=1)
    ]
    return pa.Table.from_pylist(records, schema=pa.schema(fields))


@pytest.mark.slow
def test_nights_by_duckdb_equal_nights_by_spark(lake, spark, tmp_path):
    other = Lake(lake.settings.model_copy(update={"lake": tmp_path / "other"}), spark=spark)
    other.create([TABLE])
    chance = np.random.default_rng(5)
    nights = [
        (18, "snapshot"),
        (19, "delta"),
        (19, "snapshot"),
        (20, "snapshot"),
        (20, "snapshot"),
        (21, "delta"),
    ]
    for attempt, (day, mode) in enumerate(nights):
        present = [f"e{n}" for n in range(12) if chance.random() < 0.7]
        roles: list[str | None] = ["branch_head", "teller", None]
        rows = statements({key: roles[int(chance.integers(3))] for key in present}, f"f{attempt}")
        arguments = {"feed": "staff", "business_date": date(2026, 11, day), "mode": mode}
        by_memory = other.change_states(TABLE, rows, **arguments)
        by_spark = lake.change_states(TABLE, _as_frame(spark, rows), **arguments)
        assert frame_hash(other.read_arrow(TABLE)) == frame_hash(lake.read_arrow(TABLE)), f"night {attempt}"
        assert (by_memory.updated, by_memory.deleted) == (by_spark.updated, by_spark.deleted) or attempt == 0
        again = other.change_states(TABLE, rows, **arguments)
        assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)


def _as_frame(spark, rows: pa.Table):
    names = rows.column_names
    schema = ", ".join(f"{name} {contract(TABLE).columns[name].type}" for name in names)
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows.to_pylist()], schema)


def test_a_row_that_breaks_the_contract_is_refused_in_memory_too(lake):
    lake.change_states(
        TABLE, statements({"e1": "teller"}, "f"), feed="staff", business_date=date(2026, 11, 18), mode="delta"
    )
    broken = statements({"e1": "branch_head"}, "f")
    broken = broken.set_column(broken.column_names.index("_file"), "_file", pa.nulls(1, pa.string()))
    with pytest.raises(ContractBroken):
        lake.change_states(TABLE, broken, feed="staff", business_date=date(2026, 11, 19), mode="delta")
    assert lake.row_count(TABLE) == 1
