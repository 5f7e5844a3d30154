"""Arrow does not import pandas for a short command, and gives data frames all the same."""

from __future__ import annotations

import subprocess
import sys

LOOKS = """
import sys
from lakehouse.query.desk import open_scratch
import pyarrow as pa
with open_scratch() as desk:
    rows = desk.arrow("SELECT 1 AS number UNION ALL SELECT NULL")
pa.array([True, None]).to_numpy(zero_copy_only=False)
pa.array(["text"])
assert "pandas" not in sys.modules, "pandas is imported"
frame = rows.to_pandas()
assert frame["number"].isna().sum() == 1
import pandas
assert pa.array(pandas.Series([1, 2], index=[5, 6])).to_pylist() == [1, 2]
assert pa.Table.from_pandas(frame).num_rows == 2
"""


def test_pandas_is_imported_only_for_a_data_frame() -> None:
    ended = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
