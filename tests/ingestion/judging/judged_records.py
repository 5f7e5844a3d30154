"""Records judged in each of the ways in which a feed can be mapped."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from ingestion.judging import judging
from ingestion.nights.work import map_into_parquet
from ingestion.records import record_schema
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles

D = date(2026, 11, 18)
WAYS = ["quick, then by Spark", "by Spark", "quick, then one by one", "one by one"]


def judged(spark, folder, feed, *, way, records, currency=None):
    """Give the refused records, the accepted rows by table, and the book."""
    files = RecordFiles(feed, folder / "records")
    nights = Nights(D, D)
    schema = record_schema(feed.columns)
    rows = [
        dict.fromkeys(schema.names) | {"_row": at} | dict(zip(feed.columns, values, strict=True))
        for at, values in enumerate(records, 1)
    ]
    with files.writer("0.parquet", "f/a", D) as out:
        out.write(pa.RecordBatch.from_pylist(rows, schema=schema))

    def by_spark(those: RecordFiles, into, text) -> None:
        map_into_parquet(spark, those, into, nights, record_count=len(records), text=text)

    judgement = judging.judge_records(
        feed,
        folder,
        nights,
        by_spark=by_spark if "Spark" in way else None,
        earlier_keys={},
        in_process="quick" in way,
        currency=currency,
    )
    refused = {r["_row"]: r["reasons"] for r in judgement.refused_rows()}
    tables = {t.name: judgement.accepted_rows(t).read_all().to_pylist() for t in judgement.maps}
    losses = {
        (table, column, reason): count
        for _, loss, count in judgement.losses()
        for reason, table, column in [(loss.partition(":")[0], *loss.partition(":")[2].rsplit(".", 1))]
    }
    judgement.close()
    return refused, tables, losses
