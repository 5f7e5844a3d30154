"""Records on disk: delivered columns of any name come back, broken records stand beside the others."""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from ingestion.feeds.feeds import read_feed
from ingestion.records import record_schema
from ingestion.records.landing import Nights, landing_names
from ingestion.records.record_files import RecordFiles, whole_schema

D = date(2026, 11, 18)
COLUMNS = ("id", "_other", "a b", "a,b", 'q"x', "it;s", "c1", "客户 号")


def test_columns_of_any_name_come_back_and_broken_records_too(spark, tmp_path):
    listed = ", ".join(f"'{name}'" for name in COLUMNS)
    text = f"feed: f\nsource: core\ndescription: d\nmode: events\nfiles: {{path: 'f/{{date}}/*'}}\ncolumns: [{listed}]\ntargets: []\n"
    (tmp_path / "f.yml").write_text(text, encoding="utf-8")
    feed = read_feed(tmp_path / "f.yml")
    names = landing_names(feed)
    assert len({name.lower() for name in names.values()}) == len(COLUMNS)
    nights = Nights(D, date(2026, 11, 20))
    files = RecordFiles(feed, tmp_path / "records")
    said = {name: f"v{at}" for at, name in enumerate(COLUMNS)}
    rows = [
        {"_row": 1, **said},
        {"_row": 2, "_problem": "columns: 2 instead of 8", "_raw": "a,b"},
        {"_row": 3, **dict.fromkeys(COLUMNS), "_extra": '{"new": "x"}'},
    ]
    schema = record_schema(COLUMNS)
    arrays = [
        pa.array([row.get(name) for row in rows], schema.field(at).type)
        for at, name in enumerate(schema.names)
    ]
    with files.writer("0.parquet", "f/1", D) as out:
        out.write(pa.record_batch(arrays, schema=schema))
    with files.writer("1.parquet", "f/2", date(2026, 11, 25)):
        pass  # a file without records
    found = duckdb.connect().sql(f"{files.sql(nights)} ORDER BY _row").to_arrow_table().to_pylist()
    assert [row["_problem"] for row in found] == [None, "columns: 2 instead of 8", None]
    assert [found[0][f"c{at}"] for at in range(len(COLUMNS))] == list(said.values())
    assert [(row["_file"], row["_night"], row["_row"]) for row in found] == [("f/1", D, n) for n in (1, 2, 3)]
    assert (found[1]["_raw"], found[2]["_extra"], files.count()) == ("a,b", '{"new": "x"}', 3)
    by_spark = files.frame(spark, nights).orderBy("_row").collect()
    assert [by_spark[0][name] for name in COLUMNS] == list(said.values())
    assert [file.partition["_arrived_on"] for file in files.staged_files(nights)] == [D, nights.last]
    assert set(whole_schema(feed).names) == {*names.values(), "_extra", "_feed", "_file", "_row"}
