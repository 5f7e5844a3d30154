"""One step of a night on its own, under the lock and in the ledger; publishing is left to the night."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from jobs.night.steps import make_inputs, message_of, run_step
from jobs.night.writing import open_for_writing
from lakehouse.settings.settings import Settings


def run_single(settings: Settings, step: str, business_date: date, **options: Any) -> str:
    """Run one step, with its own options, and its gate; give its counts as one JSON line.

    Nothing becomes visible: the tables it writes are published by the next ``nightly`` of the same date, which
    takes the step as done where files and settings are the same.
    """
    with open_for_writing(settings, business_date, f"{step} {business_date}") as writer:
        if step == "ingest":
            make_inputs(writer.lake, business_date)
        attempt = writer.attempt(business_date)
        with attempt.ledger.step(step) as record:
            record.counts = run_step(step, writer.lake, business_date, **options)
            record.message = message_of(record.counts)
            record.warnings = writer.warnings.take()
    line = {
        "date": business_date.isoformat(),
        "step": step,
        "counts": record.counts,
        "seconds": record.seconds,
    }
    return json.dumps(line, ensure_ascii=False, default=str)
