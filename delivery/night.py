"""The deliveries of a night: audiences staged for their destinations, then released or discarded, and who received what.

``stage`` makes nothing visible outside the lake; ``release`` does, after the night's gates; ``discard`` forgets it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from delivery.contract.verify_audience import MANIFEST, verify_run
from delivery.destinations import Destination
from delivery.mirrors import read_deliveries
from delivery.releasing import discard_audience, release_audience
from delivery.signature import verification_secret
from delivery.staging import StagedAudience, stage_audience
from lakehouse.contracts.reading import contract
from lakehouse.errors import StepFailed
from lakehouse.query.desk import open_newest
from lakehouse.query.hashing import file_hash
from vocabulary.audience import Audience

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

# The name by which operators filter what the evaluation and the release of segments say.
log = logging.getLogger("cdp.segments")


def stage(
    lake: Lake, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[StagedAudience, ...]:
    """Write the files of every audience for each of its destinations where nobody sees them, and the recipients' keys.

    Nothing is left behind where one of them fails. The same audiences give the same bytes.
    """
    deliveries: list[StagedAudience] = []
    with open_newest(lake.settings) as desk:
        earlier = read_deliveries(desk)
    try:
        for audience in audiences:
            for name in audience.destinations:
                one = stage_audience(
                    audience, name, destinations[name], settings=lake.settings, deliveries=earlier
                )
                if one is not None:
                    deliveries.append(one)
        _write_recipients(lake, [one for one in deliveries if not one.is_dry])
    except BaseException:
        discard(deliveries)
        raise
    return tuple(deliveries)


def release(lake: Lake, audiences: Sequence[StagedAudience]) -> None:
    """Make staged audiences visible to their destinations and record the deliveries.

    Each is verified before any is released, as its consumer will; where one does not verify none is: all of them
    are discarded and ``StepFailed`` is raised. A dry one stays in the workspace, where nobody but its owner sees it.
    """
    import pyarrow as pa

    try:
        for audience in audiences:
            _require_verified(audience, lake.settings)
    except BaseException:
        discard(audiences)
        raise
    for audience in audiences:
        release_audience(audience)
        what = (
            "is there already"
            if audience.is_repeated
            else "dry, not released"
            if audience.is_dry
            else "released"
        )
        log.info(
            "audience %s for %s: %d people, %s",
            audience.segment,
            audience.destination,
            audience.published,
            what,
        )
    schema = contract("segments.deliveries").arrow_schema()
    lake.extend_dictionary(
        "segments.deliveries",
        pa.Table.from_pylist(delivery_rows(one for one in audiences if not one.is_dry), schema=schema),
    )
    directories = directory_rows(one for one in audiences if not one.is_dry)
    if directories:
        schema = contract("segments.directories").arrow_schema()
        lake.extend_dictionary("segments.directories", pa.Table.from_pylist(directories, schema=schema))


def discard(audiences: Iterable[StagedAudience]) -> None:
    """Remove what was staged and will not be released."""
    for audience in audiences:
        discard_audience(audience)


def delivery_rows(audiences: Iterable[StagedAudience]) -> list[dict[str, Any]]:
    """Give the rows of ``segments.deliveries``."""
    return [
        {
            "run_id": audience.run_id,
            "destination": audience.destination,
            "code": audience.segment,
            "as_of": audience.as_of,
            "purpose": audience.purpose,
            "seq": audience.seq,
            "attempt": 1,
            "status": "DELIVERED",
            "accepted": audience.published,
            "rejected": 0,
            "manifest_sha256": audience.manifest_sha256,
            "signature": audience.signature,
            "files": list(audience.files),
        }
        for audience in audiences
    ]


def directory_rows(audiences: Iterable[StagedAudience]) -> list[dict[str, Any]]:
    """Give the rows of ``segments.directories``: what was disclosed to whom, by a directory or a worklist, and on whose approval."""
    rows = []
    for staged_audience in audiences:
        audience = staged_audience.audience
        if audience.content is None:
            continue
        approval = audience.disclosure or {}
        levels = sorted(audience.levels.values()) if audience.content != "none" else []
        rows.append(
            {
                "run_id": staged_audience.run_id,
                "destination": staged_audience.destination,
                "as_of": staged_audience.as_of,
                "content": audience.content,
                "level": levels[-1] if levels else None,
                "purpose": audience.purpose,
                "columns": [name for name in audience.people.column_names if name != "one_id"],
                "people": staged_audience.published,
                "approved_by": approval.get("by"),
                "approved_on": date.fromisoformat(approval["date"]) if approval else None,
                "approval_hash": approval.get("hash"),
            }
        )
    return rows


def _require_verified(audience: StagedAudience, settings: Settings) -> None:
    """Refuse a staged audience that a consumer would refuse; one that was there already was verified when it was staged."""
    if audience.folder is None:
        return
    key = settings.secret(verification_secret(audience.destination))
    failures = verify_run(
        audience.folder, keys=lambda _: key, needs_signature=True, root=audience.root
    ).failures
    if not failures and file_hash(audience.folder / MANIFEST) != audience.manifest_sha256:
        failures = (f"{MANIFEST} is not the one that was written",)
    if failures:
        raise StepFailed(
            f"the audience of segment '{audience.segment}' for '{audience.destination}' does not verify: {failures[0]}; "
            "nothing was released",
            file=audience.root,
        )


def _write_recipients(lake: Lake, audiences: Sequence[StagedAudience]) -> None:
    import pyarrow as pa

    parts = [
        pa.table(
            {
                "destination": pa.array([audience.destination] * audience.recipients.num_rows, pa.string()),
                "recipient_key": audience.recipients["recipient_key"],
                "one_id": audience.recipients["one_id"],
                "since": pa.array([audience.as_of] * audience.recipients.num_rows, pa.date32()),
            }
        )
        for audience in audiences
    ]
    if parts:
        together = pa.concat_tables(parts)
        unique = together.group_by(["destination", "recipient_key", "one_id", "since"]).aggregate([]).sort_by(
            [("destination", "ascending"), ("recipient_key", "ascending")]
        )  # fmt: skip
        lake.extend_dictionary("segments.recipients", unique)
