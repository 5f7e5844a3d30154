"""The steps of a night, in order. Each is one function of a room, gated by what it wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.night.churn import check_churn
from jobs.night.punctuality import warn_of_late_audiences
from jobs.workspace.surroundings import read_surroundings
from lakehouse.clock import now
from lakehouse.errors import CdpError, StepFailed
from lakehouse.gates.expectations import check_expectations
from lakehouse.gates.gates import check_tables
from lakehouse.settings.optional_files import is_there
from lakehouse.tables.lake import Lake

if TYPE_CHECKING:
    from ingestion import IngestResult


log = logging.getLogger("cdp.segments")

# A decision that arrives while segments are evaluated counts: they are evaluated anew, but not for ever.
MOST_EVALUATIONS = 3


@dataclass(frozen=True)
class Step:
    """A step: its name in the ledger, what it does, and the database its gate measures.

    A step that makes inputs runs before the fingerprint of the night, which covers them; so it has no ledger row.
    """

    name: str
    run: Callable[..., dict[str, Any]]
    gate: str
    makes_inputs: bool = False


def extract(lake: Lake, business_date: date) -> dict[str, Any]:
    """Read the tables of other systems into the inbox; nothing to do where no feed extracts one."""
    import ingestion

    ingestion.extract_tables(lake, business_date)
    return {}


def ingest(lake: Lake, business_date: date) -> dict[str, Any]:
    """Read every delivered file into trusted tables."""
    import ingestion

    return counts_of(ingestion.ingest(lake, business_date))


def counts_of(result: IngestResult) -> dict[str, Any]:
    """Give what the ledger of attempts and the summary say of what was taken in."""
    return {
        "feeds": result.summary(),
        "warnings": list(result.warnings),
        "refused_files": sorted(result.refused_files),
    }


def resolve(lake: Lake, business_date: date, *, full: bool = False) -> dict[str, Any]:
    """Decide which records are one person; measure it against the truth where the workspace has one."""
    import identity

    counts = identity.resolve(lake, business_date, full=full).summary()
    if lake.settings.truth is not None and is_there(lake.settings.truth):
        measures = identity.evaluate(lake, lake.settings.truth)
        counts |= {"precision": round(measures.precision, 6), "recall": round(measures.recall, 6)}
    return counts


def build_tags(lake: Lake, business_date: date) -> dict[str, Any]:
    """Compute every tag about every person, and the marts from them; a feed's own statement says how many days it may be late."""
    import ingestion
    import tags
    from jobs.report.tag_usage import catalogue_users

    users = catalogue_users(lake.settings.workspace)
    result = tags.build_tags(lake, business_date, ingestion.allowances(lake.settings), users=users)
    tags.build_marts(lake, business_date)
    return result.summary()


def publish(lake: Lake, business_date: date) -> dict[str, Any]:
    """Select, suppress and assign people; put the audiences where engines find them."""
    import delivery
    import ingestion
    import segments
    import tags

    late_tables = tags.late_tables(lake, business_date, ingestion.allowances(lake.settings))
    for _ in range(MOST_EVALUATIONS):
        authority = segments.read_authority(lake.settings)
        surroundings = replace(read_surroundings(lake.settings), late_tables=late_tables)
        result = segments.evaluate(lake, business_date, surroundings, authority)
        destinations = delivery.read_destinations(lake.settings)
        standing = delivery.standing_runs(lake, business_date, result.audiences, destinations)
        recalls = segments.recalled_audiences(lake, business_date, standing, authority)
        every = (*result.audiences, *recalls)
        directories = delivery.directory_audiences(
            lake,
            business_date,
            every,
            standing,
            destinations,
            partial(segments.permissions, lake, business_date),
        )
        lists = delivery.worklist_audiences(lake, every, destinations)
        audiences = delivery.stage(lake, (*lists, *directories), destinations)
        try:
            check_gate(lake, "segments", business_date)
            check_churn(lake, business_date)
            with segments.authority_held(lake.settings) as authority_now:
                if authority_now.state == authority.state:
                    delivery.release(lake, audiences)
                    warn_of_late_audiences(lake.settings, business_date, audiences, now())
                    return result.summary()
        except CdpError:
            delivery.discard(audiences)
            raise
        delivery.discard(audiences)
        log.warning("something was decided about segments meanwhile; they are evaluated again")
    raise StepFailed(
        f"something was decided about segments during each of {MOST_EVALUATIONS} evaluations; nothing was released"
    )


STEPS = (
    Step("extract", extract, gate="", makes_inputs=True),
    Step("ingest", ingest, gate="trusted"),
    Step("resolve", resolve, gate="identity"),
    Step("build_tags", build_tags, gate="tags"),
    Step("publish", publish, gate=""),
)

MOST_SHOWN = 5
# The books by whose bounds a gate judges as well.
BOOKS_OF = {"trusted": ("landing.files", "landing.loads")}

# The steps that a night's ledger and summary tell of.
RECORDED_STEPS = tuple(step for step in STEPS if not step.makes_inputs)


def make_inputs(lake: Lake, business_date: date) -> None:
    """Run the steps whose results are inputs of the night; the fingerprint is taken after them."""
    for step in STEPS:
        if step.makes_inputs:
            step.run(lake, business_date)


def message_of(counts: dict[str, Any]) -> str | None:
    """Give what the ledger of attempts says beside a step that is done: the files that were refused."""
    paths = counts.get("refused_files")
    if not paths:
        return None
    names = ", ".join(paths[:MOST_SHOWN]) + (
        f" and {len(paths) - MOST_SHOWN} more" if len(paths) > MOST_SHOWN else ""
    )
    return f"{len(paths)} refused as a whole, see landing.files: {names}"


def check_gate(lake: Lake, database: str, business_date: date) -> None:
    """Judge every table of a database against its contract's bounds, filled or not, so that reruns judge alike.

    What was read into trusted tables is judged together with the books of it, marts with the tags they count. Then the site's own expectations.
    """
    names = [*lake.contracts.names(database), *BOOKS_OF.get(database, ())]
    if database == "tags":
        names += lake.contracts.names("marts")
    check_tables(lake, database, [name for name in names if lake.exists(name)], business_date)
    check_expectations(lake, database, business_date)


def run_step(name: str, lake: Lake, business_date: date, **options: Any) -> dict[str, Any]:
    """Run one step, with its own options, and its gate; give its counts."""
    step = next(step for step in STEPS if step.name == name)
    counts = step.run(lake, business_date, **options)
    if step.gate:
        check_gate(lake, step.gate, business_date)
    return counts
