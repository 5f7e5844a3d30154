"""The hash of rows is one, whether they stand in a table of this process or are read from a desk a few at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from lakehouse.query.desk import open_alone
from lakehouse.query.hashing import frame_hash, row_sums, rows_hash

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def rows_like_those_of_a_night(count: int) -> pa.Table:
    """Rows with a null, a decimal, a moment and a list, some of them equal."""
    return pa.table(
        {
            "one_id": pa.array([number // 2 for number in range(count)], pa.int64()),
            "value": pa.array([None if n % 7 == 0 else Decimal(n % 5) / 4 for n in range(count)], pa.decimal128(18, 2)),
            "seen_at": pa.array([NOON + timedelta(hours=n % 48) for n in range(count)], pa.timestamp("us", "UTC")),
            "channels": pa.array([["app", "sms"][: n % 3] for n in range(count)], pa.list_(pa.string())),
        }
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 3, 200_000])
def test_rows_that_are_read_a_few_at_a_time_have_the_hash_of_the_table(count):
    rows = rows_like_those_of_a_night(count)
    with open_alone("Asia/Shanghai") as desk:
        kept = desk.take("rows", rows)
        number, content = rows_hash(desk, f"SELECT * FROM {kept}")
    assert f"{number}:{content}" == frame_hash(rows)


def test_the_sums_of_parts_make_the_hash_of_the_whole():
    rows = rows_like_those_of_a_night(30)
    parts = []
    with open_alone() as desk:
        for begin, size in ((0, 11), (11, 0), (11, 19)):
            parts.append(row_sums(desk, f"SELECT * FROM {desk.take('part', rows.slice(begin, size))}"))
    total = parts[0] + parts[1] + parts[2]
    assert f"{total.count}:{total.content}" == frame_hash(rows)
    assert (parts[1] + parts[1]).content == frame_hash(rows.slice(0, 0)).partition(":")[2]
    with pytest.raises(ValueError, match="other columns"):
        parts[0] + replace(parts[1], columns=("one_id",))


def test_another_row_another_hash():
    rows = rows_like_those_of_a_night(3)
    with open_alone() as desk:
        kept = desk.take("rows", rows)
        assert rows_hash(desk, f"SELECT * FROM {kept}") != rows_hash(desk, f"SELECT * FROM {kept} LIMIT 2")
