"""Loading what a channel delivered over months before the first night, in one pass, published as a whole."""

from __future__ import annotations

import json
from datetime import date

from jobs.night.fingerprint import product_hash, workspace_hash
from jobs.night.nightly import abandon_unpublished, check_workspace
from jobs.night.steps import check_gate
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import Ledger, publish, restore_published
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.hashing import text_hash
from lakehouse.query.published import publications
from lakehouse.settings.settings import Settings
from lakehouse.tables.lake import open_lake


def run_history(settings: Settings, first: date, last: date) -> str:
    """Load and publish the files of the nights ``first`` to ``last``; give the counts as one JSON line.

    Each file arrives on its own business date. Only trusted tables and landing are filled: identity, tags and
    segments begin with the first night after it. Whatever goes wrong, every table is back at what was published.
    """
    import ingestion

    if last < first:
        raise UsageError(f"--to {last} is before --from {first}")
    check_workspace(settings)
    with hold_lock(settings.lock_dir, f"history {first} to {last}"):
        lake = open_lake(settings)
        newest = max((p.business_date for p in publications(settings)), default=None)
        if newest is not None and newest >= first:
            raise UsageError(
                f"nights up to {newest} were published, and a history goes before the first one; "
                f"use `cdp backfill --from {first}` to replay nights in order"
            )
        abandon_unpublished(lake, last)
        inputs = [f"{path}={digest}" for path, digest in ingestion.inputs_of_history(lake, first, last)]
        fingerprint = text_hash("history", first, last, workspace_hash(settings), product_hash(), *inputs)
        lake.run_id = text_hash(last, fingerprint)[:16]
        ledger = Ledger(lake, last, fingerprint)
        try:
            with ledger.step("history") as whole:
                with ledger.step("ingest") as record:
                    result = ingestion.ingest_history(lake, first, last)
                    check_gate(lake, "trusted", last)
                    record.counts = {"feeds": result.summary(), "warnings": list(result.warnings)}
                summary = {
                    "date": last.isoformat(),
                    "from": first.isoformat(),
                    "status": "published",
                    **record.counts,
                    "seconds": {"ingest": record.seconds},
                }
                publish(lake, last, fingerprint, summary)
                whole.counts = {"files": len(inputs)}
        except BaseException:
            restore_published(lake)
            raise
    return json.dumps(summary, ensure_ascii=False, default=str)
