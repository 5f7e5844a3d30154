"""Ask one question of the published tables through Spark, twice, in a process of its own (see ``cold_read``)."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.reading.cold_read import WORKSPACE


def main(query: str) -> None:
    """Print the first answer, then the seconds of the second, one JSON object a line."""
    from lakehouse.query.published import named_tables, newest_publication
    from lakehouse.session.session import start_session, stop_session
    from lakehouse.settings.settings import load_settings

    settings = load_settings(WORKSPACE)
    publication = newest_publication(settings)
    assert publication is not None
    spark = start_session(settings, name="benchmarks")
    for table in named_tables(query):
        database, _, name = table.partition(".")
        version = publication.tables[table]
        frame = (
            spark.read.format("delta")
            .option("versionAsOf", version)
            .load(str(settings.lake / database / name))
        )
        frame.createOrReplaceTempView(name)
        query = query.replace(table, name)
    answer = [row.asDict() for row in spark.sql(query).collect()]
    print(json.dumps({"answer": answer}, default=str), flush=True)
    began = time.perf_counter()
    spark.sql(query).collect()
    print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    stop_session()


if __name__ == "__main__":
    main(sys.argv[1])
