"""The ledger of attempts (``ops.runs``) and the act of publishing (``ops.publications``).

Both are small and written without a JVM, so that a night whose JVM died can still say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from lakehouse.clock import now
from lakehouse.errors import CdpError, GateStopped
from lakehouse.integrity.chain import next_hash, write_head
from lakehouse.integrity.digests import record_digests
from lakehouse.ledger.progress import step_log
from lakehouse.query.published import PUBLICATIONS, newest_publication, publications
from lakehouse.tables.lake import Lake

RUNS = "ops.runs"
# Steps that hold others and end in a publication, or take everything back.
WHOLE_RUNS = ("nightly", "history", "recall", "tags backfill")
# What people decided and what was measured is never taken back with a night.
_WARNINGS = "_warnings"
KEPT_ON_RESTORE = ("ops.", "quality.measures", "quality.gate_results", "identity.decisions")


@dataclass
class StepRecord:
    """What a step leaves in the ledger: counts and what to look at, set by the step, its time, what it warned of."""

    counts: dict[str, Any] = field(default_factory=dict)
    message: str | None = None
    seconds: float = 0.0
    is_resumed: bool = False
    warnings: list[str] = field(default_factory=list)

    def counts_json(self) -> str:
        """Give counts and warnings as the ledger keeps them, for the night that goes on after this step."""
        counts = self.counts | ({_WARNINGS: self.warnings} if self.warnings else {})
        return json.dumps(counts, ensure_ascii=False, default=str)

    @classmethod
    def of_ledger(cls, counts_json: str | None, message: str | None, seconds: float | None) -> StepRecord:
        """Give the record that an earlier attempt left."""
        counts = json.loads(counts_json or "{}")
        warnings = counts.pop(_WARNINGS, [])
        return cls(counts, message, seconds or 0.0, is_resumed=True, warnings=warnings)


class Ledger:
    """The attempts of one run of one night."""

    def __init__(self, lake: Lake, business_date: date, fingerprint: str) -> None:
        self.lake = lake
        self.business_date = business_date
        self.fingerprint = fingerprint

    def write(
        self, step: str, status: str, *, record: StepRecord | None = None, message: str | None = None
    ) -> None:
        """Add one row."""
        row = {
            "run_id": self.lake.run_id, "step": step, "business_date": self.business_date, "status": status,
            "written_at": now(), "fingerprint": self.fingerprint, "message": message,
            "seconds": record.seconds if record else None,
            "counts": record.counts_json() if record else None,
        }  # fmt: skip
        self.lake.append_rows(RUNS, [row])

    def done_since_restart(self) -> dict[str, StepRecord]:
        """Give the steps this run finished in attempts that were neither stopped by a gate nor published."""
        rows = self.lake.read_arrow(RUNS, filters=[("run_id", "=", self.lake.run_id)]).to_pylist()
        steps: dict[str, StepRecord] = {}
        for row in sorted(rows, key=lambda r: r["written_at"]):
            if row["status"] == "stopped" or (row["step"] in WHOLE_RUNS and row["status"] == "done"):
                steps.clear()
            elif row["status"] == "done":
                steps[row["step"]] = StepRecord.of_ledger(row["counts"], row["message"], row["seconds"])
        return steps

    @contextmanager
    def step(self, name: str) -> Iterator[StepRecord]:
        """Write ``started`` before and ``done``, ``stopped`` or ``failed`` after the block."""
        record = StepRecord()
        self.write(name, "started")
        try:
            with step_log(name) as clock:
                yield record
        except BaseException as wrong:
            status = "stopped" if isinstance(wrong, GateStopped) else "failed"
            # A bug's text may hold values of rows; only our own sentences go into the ledger.
            message = str(wrong) if isinstance(wrong, CdpError) else f"{type(wrong).__name__} (see the log)"
            self.write(name, status, message=message)
            raise
        record.seconds = clock["seconds"]
        self.write(name, "done", record=record, message=record.message)


def unfinished_night(lake: Lake) -> date | None:
    """Give the business date whose attempt neither published nor was refused; None where the last one ended well.

    Such a night failed, was killed, or ran single steps only: its tables hold more than what is published.
    """
    columns = ["business_date", "step", "status", "written_at"]
    rows = lake.read_arrow(RUNS, columns=columns).to_pylist()
    last = max(rows, key=lambda row: row["written_at"], default=None)
    if last is None or (last["step"] in WHOLE_RUNS and last["status"] in ("done", "stopped")):
        return None
    night: date = last["business_date"]
    return night


def publish(lake: Lake, business_date: date, fingerprint: str, summary: dict[str, Any]) -> int:
    """Make the newest version of every table visible, by one row; give the publication's number.

    The row names the bytes of every table and the publication before it.
    """
    tables = {
        name: lake.delta(name)
        for name in lake.contracts.names()
        if not name.startswith("ops.") and lake.exists(name)
    }
    earlier = publications(lake.settings)
    seq = earlier[-1].seq + 1 if earlier else 1
    contents = record_digests(lake, tables, seq)
    row = {
        "seq": seq, "business_date": business_date, "run_id": lake.run_id, "published_at": now(),
        "fingerprint": fingerprint, "summary": json.dumps(summary, ensure_ascii=False, default=str),
        "tables": [{"table": name, "version": table.version()} for name, table in tables.items()],
        "contents": [{"table": name, **asdict(content)} for name, content in contents.items()],
        "previous_hash": next_hash(earlier),
    }  # fmt: skip
    lake.append_rows(PUBLICATIONS, [row])
    write_head(lake.settings, publications(lake.settings)[-1])
    return seq


def restore_published(lake: Lake) -> list[str]:
    """Bring every table a refused night wrote back to its published version; give those that moved.

    Dictionaries only grow: an id once given is never given to another, so they are left as they are.
    """
    newest = newest_publication(lake.settings)
    return restore_versions(lake, newest.tables if newest else {})


def is_restored(lake: Lake, name: str, *, keep: tuple[str, ...] = ()) -> bool:
    """Tell whether a table goes back with a night: dictionaries do not, nor what people decided and what was measured."""
    return lake.contracts.get(name).shape != "dictionary" and not name.startswith((*KEPT_ON_RESTORE, *keep))


def restore_versions(lake: Lake, versions: dict[str, int], *, keep: tuple[str, ...] = ()) -> list[str]:
    """Bring tables to ``versions``, but not those in ``keep``; one without a version there goes back to empty."""
    names = []
    for name in lake.contracts.names():
        if not is_restored(lake, name, keep=keep) or not lake.exists(name):
            continue
        version = versions.get(name, 0)
        if lake.version(name) != version:
            lake.restore(name, version)
            names.append(name)
    return names
