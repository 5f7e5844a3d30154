"""The lake while a night writes to it: one context holds the lock, one attempt is what a business date runs under."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from jobs.night.fingerprint import fingerprint_of
from jobs.workspace.check import check_workspace
from jobs.workspace.places import require_places
from lakehouse.errors import UsageError
from lakehouse.integrity.chain import require_chain
from lakehouse.integrity.states import (
    require_newer_files,
    require_published_files,
    require_tables,
    tables_among,
)
from lakehouse.ledger.ledger import Ledger, is_restored, restore_published, unfinished_night
from lakehouse.ledger.lock import hold_lock
from lakehouse.ledger.progress import Warnings, warnings_kept
from lakehouse.query.desk import limit_memory
from lakehouse.query.hashing import text_hash
from lakehouse.query.published import Publication, publications
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings
from lakehouse.tables.lake import Lake, open_lake

log = logging.getLogger("cdp.nightly")

# What a night reads of earlier ones to decide: who is whom, who agreed, who is in which arm, who was contacted, who is alike, what was
# taken and handed over, which answers are held, where scores are cut, what a version meant, and what gates measure a night against.
DECIDED_FROM = (
    "identity.",
    "trusted.consents",
    "landing.files",
    "segments.assignments",
    "segments.changes",
    "segments.contact_losses",
    "segments.contacts",
    "segments.definitions",
    "segments.deliveries",
    "segments.delivery_rejects",
    "segments.directories",
    "segments.members",
    "segments.micro_fits",
    "segments.micro_segments",
    "segments.recipients",
    "segments.runs",
    "segments.transmission_rows",
    "segments.transmissions",
    "tags.branch_tags",
    "tags.branch_tags_daily",
    "tags.company_tags",
    "tags.company_tags_daily",
    "tags.customer_tags",
    "tags.customer_tags_daily",
    "tags.cut_points",
    "tags.definitions",
    "tags.employee_tags",
    "tags.employee_tags_daily",
    "tags.household_tags",
    "tags.household_tags_daily",
    "tags.product_tags",
    "tags.product_tags_daily",
    "quality.measures",
    "quality.tag_quality",
)


@dataclass(frozen=True)
class Attempt:
    """One run of one business date: the lake it writes to, the hash of its inputs, and its rows in the ledger."""

    lake: Lake
    business_date: date
    fingerprint: str
    ledger: Ledger


@dataclass(frozen=True)
class LakeWriter:
    """A lake that only this process writes to, and what was published when the lock was taken."""

    lake: Lake
    publications: tuple[Publication, ...]
    note_jvm: Callable[[int | None], None]
    warnings: Warnings = field(default_factory=Warnings)

    @property
    def newest_date(self) -> date | None:
        """Give the newest business date that was published; None where nothing was."""
        return max((entry.business_date for entry in self.publications), default=None)

    def refuse_older_date(self, business_date: date) -> None:
        """Refuse a date older than the newest one published; rewriting history is what backfill is for."""
        newest = self.newest_date
        if newest is not None and business_date < newest:
            raise UsageError(
                f"{business_date} is older than the newest night {newest}: only the newest may be rerun; "
                f"use `cdp backfill --from {business_date}` to replay {business_date} to {newest} in order"
            )

    def abandon_unfinished(self, business_date: date) -> None:
        """Take back what an unfinished night of another date wrote, so that this one starts from what is published."""
        unfinished = unfinished_night(self.lake)
        if unfinished is not None and unfinished != business_date:
            tables = restore_published(self.lake)
            log.warning(
                "the night of %s was never finished; %d tables are back at what is published",
                unfinished,
                len(tables),
            )

    def require_states(self) -> None:
        """Refuse a lake whose states, as the night reads them, are not what was published; see ``DECIDED_FROM``."""
        if self.publications:
            newest = self.publications[-1]
            require_published_files(self.lake, newest, tables_among(newest, DECIDED_FROM), self.publications)

    def require_unfinished(self) -> None:
        """Refuse a lake that lost files an unfinished night wrote, since the same date goes on from them."""
        if self.publications:
            newest = self.publications[-1]
            require_newer_files(self.lake, newest, tables_among(newest, DECIDED_FROM))

    def require_states_before(self, before: Publication | None, *, keep: tuple[str, ...]) -> None:
        """Refuse a lake whose states are not those that a replay begins with.

        These are what was published ``before`` it; of tables that are not taken back, the newest ones.
        """
        if not self.publications:
            return
        newest = self.publications[-1]
        tables = tables_among(newest, DECIDED_FROM)
        lasting = [name for name in tables if not is_restored(self.lake, name, keep=keep)]
        require_published_files(self.lake, newest, lasting, self.publications)
        if before is not None:
            earlier = [name for name in tables_among(before, DECIDED_FROM) if name not in lasting]
            require_published_files(self.lake, before, earlier, self.publications)

    def attempt(self, business_date: date, fingerprint: str | None = None) -> Attempt:
        """Give the attempt of a business date; without a fingerprint, that of its night.

        The same date and fingerprint give the same run id, so that an attempt goes on where an earlier one failed.
        """
        fingerprint = fingerprint or fingerprint_of(self.lake, business_date)
        self.lake.run_id = text_hash(business_date, fingerprint)[:16]
        return Attempt(self.lake, business_date, fingerprint, Ledger(self.lake, business_date, fingerprint))

    def prepare_spark(self) -> None:
        """Start Spark, where the engine or the cluster is Spark, and name its JVM in the lock.

        What starts Spark later, for the little that only Spark can say, names it as well: the next writer waits until that
        JVM is gone.
        """
        self.lake.when_spark_starts = self.note_jvm
        if self.lake.settings.engine.name == "spark" or self.lake.is_on_cluster:
            _ = self.lake.spark


@contextmanager
def hold_lake(settings: Settings, purpose: str) -> Iterator[LakeWriter]:
    """Check the workspace, take the writer's lock and open the lake; a held lock raises ``LockHeld``.

    A lake whose publications are not those that were made raises ``StepFailed`` before anything is written. What is
    written meanwhile, by a JVM too that is started here, has the rights of ``closed_files``.
    """
    with warnings_kept() as warnings:
        limit_memory(settings)
        contracts = check_workspace(settings)
        require_places(settings)
        with closed_files(settings), hold_lock(settings.lock_dir, purpose) as note_jvm:
            entries = tuple(publications(settings))
            require_chain(settings, entries)
            if entries:
                require_tables(settings, entries[-1])
            lake = open_lake(settings, contracts=contracts)
            yield LakeWriter(lake, entries, note_jvm, warnings)


@contextmanager
def open_for_writing(settings: Settings, business_date: date, purpose: str) -> Iterator[LakeWriter]:
    """Hold the lake for one business date: an older date is refused, an unfinished other date is taken back.

    What the date decides from must be what was published.
    """
    with hold_lake(settings, purpose) as writer:
        writer.refuse_older_date(business_date)
        writer.require_states()
        writer.abandon_unfinished(business_date)
        writer.require_unfinished()
        yield writer
