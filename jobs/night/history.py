"""Loading what a channel delivered over months before the first night, in one pass, published as a whole."""

from __future__ import annotations

import json
from datetime import date

from jobs.night.fingerprint import fingerprint_of_history
from jobs.night.steps import check_gate, counts_of, message_of
from jobs.night.writing import hold_lake
from jobs.report.export import refresh_export
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import publish, restore_published
from lakehouse.settings.settings import Settings


def run_history(settings: Settings, first: date, last: date) -> str:
    """Load and publish the files of the nights ``first`` to ``last``; give the counts as one JSON line.

    Each file arrives on its own business date. Only trusted tables and landing are filled: identity, tags and
    segments begin with the first night after it. Whatever goes wrong, every table is back at what was published.
    """
    import ingestion

    if last < first:
        raise UsageError(f"--to {last} is before --from {first}")
    with hold_lake(settings, f"history {first} to {last}") as writer:
        lake, newest = writer.lake, writer.newest_date
        if newest is not None and newest >= first:
            raise UsageError(
                f"nights up to {newest} were published, and a history goes before the first one; "
                f"use `cdp backfill --from {first}` to replay nights in order"
            )
        writer.abandon_unfinished(last)
        inputs = ingestion.inputs_of_history(lake, first, last)
        attempt = writer.attempt(last, fingerprint_of_history(settings, first, last, inputs))
        try:
            with attempt.ledger.step("history") as whole:
                with attempt.ledger.step("ingest") as record:
                    result = ingestion.ingest_history(lake, first, last)
                    check_gate(lake, "trusted", last)
                    record.counts = counts_of(result)
                    record.message = message_of(record.counts)
                summary = {
                    "date": last.isoformat(),
                    "from": first.isoformat(),
                    "status": "published",
                    **record.counts,
                    "seconds": {"ingest": record.seconds},
                }
                publish(lake, last, attempt.fingerprint, summary)
                whole.counts = {"files": len(inputs)}
        except BaseException:
            restore_published(lake)
            raise
        refresh_export(settings)
    return json.dumps(summary, ensure_ascii=False, default=str)
