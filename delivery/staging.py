"""An audience for one folder destination, written into a hidden folder beside what the destination reads.

``<root>/<destination>/<segment>/v=<major>/as_of=<day>/run=<run_id>/`` holds ``snapshot/``, ``delta/``, the manifest, its
hash and ``_SUCCESS``; ``LATEST.json`` points to the newest run. The delta is against what this destination last
received. ``delivery.releasing`` makes it visible.
"""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.audience_files import as_read, count_rows, read_rows, write_rows
from delivery.contract.verify_audience import (
    CONTRACT_VERSION,
    LATEST,
    MANIFEST,
    MANIFEST_SUM,
    PROFILE,
    SIGNATURE,
    SUCCESS,
    key_id,
    signature_of,
    verify_run,
)
from delivery.destinations import Destination, destination_folder, dry_folder
from delivery.manifest import OP_COLUMN, manifest_bytes, read_latest, read_manifest, schema_of, type_name
from delivery.mirrors import Delivery
from delivery.signature import verification_secret
from delivery.spreadsheet_cells import SpreadsheetRule, formula_cells, neutral_cells
from lakehouse.errors import GateStopped, StepFailed
from lakehouse.query.desk import open_scratch
from lakehouse.query.hashing import file_hash
from lakehouse.query.words import identifier
from lakehouse.settings.settings import Settings
from vocabulary.audience import Audience

if TYPE_CHECKING:
    import pyarrow as pa

STAGING = ".staging"
REPAIR = "restore it, or move the segment's folder away to begin anew"
KEY_DIGITS = 32


@dataclass(frozen=True)
class StagedAudience:
    """One audience for one destination, complete but not visible; ``folder`` is None when the run is there already."""

    segment: str
    destination: str
    run_id: str
    seq: int
    as_of: date
    purpose: str
    published: int
    root: Path
    path: str
    folder: Path | None
    manifest_sha256: str
    signature: str | None
    """None where the run was delivered before manifests were signed."""
    files: tuple[dict[str, Any], ...] = field(repr=False)
    """path, rows, bytes and sha256 of each file of data, as the manifest has them."""
    valid_until: str
    is_repeated: bool
    recipients: pa.Table = field(repr=False)
    """recipient_key, one_id of everybody in the audience."""
    audience: Audience = field(repr=False)
    """What was decided."""
    is_dry: bool = False
    """Whether the destination does not see it: it lies in a folder of the workspace, and no delivery is recorded."""

    @property
    def pointer(self) -> dict[str, Any]:
        """What ``LATEST.json`` will say."""
        return {
            "segment": self.segment,
            "run_id": self.run_id,
            "seq": self.seq,
            "as_of": self.as_of.isoformat(),
            "valid_until": self.valid_until,
            "path": self.path,
            "manifest_sha256": self.manifest_sha256,
        }


def recipient_key(secret: bytes, one_id: int) -> str:
    """Give a person's key at one destination: HMAC-SHA256 of the OneID, its first 32 hexadecimal digits."""
    return hmac.digest(secret, str(one_id).encode(), "sha256").hex()[:KEY_DIGITS]


def secret_name(destination: str) -> str:
    """Give the name of a destination's secret."""
    return f"destination_key_{destination}"


def stage_audience(
    audience: Audience,
    name: str,
    destination: Destination,
    *,
    settings: Settings,
    deliveries: Iterable[Delivery] = (),
) -> StagedAudience | None:
    """Write an audience for one destination into a hidden folder, unless that run was delivered already.

    None where the destination has received a newer business date: replayed history is not handed on again. A
    delivered run that no longer verifies, or is not one of ``deliveries`` as the lake has them, raises ``StepFailed``: it
    is evidence and is not overwritten, and no delta is made from it. Cells of a CSV that a spreadsheet would run raise
    ``GateStopped`` where the destination refuses them.
    """
    secret, key = settings.secret(secret_name(name)), settings.secret(verification_secret(name))
    is_dry = name in audience.dry_destinations
    folder = dry_folder(settings, name) if is_dry else destination_folder(settings, name, destination)
    root = folder / audience.code
    shutil.rmtree(root / STAGING, ignore_errors=True)
    latest = read_latest(root)
    as_of = audience.as_of.isoformat()
    if latest and latest["as_of"] > as_of:
        return None
    rows = _keyed(audience.people, secret)
    recipients = rows.select(["recipient_key", "one_id"])
    day = f"v={audience.major}/as_of={as_of}"
    seq = 1 + (latest["seq"] if latest else 0)
    run_id = audience.run_id
    if latest and latest["run_id"].partition("-")[0] == run_id:
        return _delivered_run(audience, name, root, latest["path"], recipients, key=key, is_repeated=True)
    if _was_delivered(root / day / f"run={run_id}", latest):
        run_id = f"{run_id}-{seq}"
    elif (root / day / f"run={run_id}").is_dir():
        path = f"{day}/run={run_id}"
        return _delivered_run(audience, name, root, path, recipients, key=key, is_repeated=False)
    earlier = [one for one in deliveries if one.is_of(name, audience.code) and not is_dry]
    if latest:
        _require_delivered(root, latest, key, earlier)
    else:
        run_id = _fresh_run_id(run_id, {one.run_id for one in earlier})
    folder = root / STAGING / f"run={run_id}"
    snapshot = rows.drop_columns(["one_id"])
    until = valid_until(audience.as_of, audience.valid_hours, settings.zone)
    _write_run(audience, name, folder, snapshot, run_id=run_id, seq=seq, latest=latest, until=until, secret=secret,
               key=key, previous=_previous_rows(root, latest), spreadsheet=destination.spreadsheet)  # fmt: skip
    return StagedAudience(
        segment=audience.code,
        destination=name,
        run_id=run_id,
        seq=seq,
        as_of=audience.as_of,
        purpose=audience.purpose,
        published=snapshot.num_rows,
        root=root,
        path=f"{day}/run={run_id}",
        folder=folder,
        manifest_sha256=file_hash(folder / MANIFEST),
        signature=_signature(folder),
        files=tuple(read_manifest(folder)["files"]),
        valid_until=until,
        is_repeated=False,
        recipients=recipients,
        audience=audience,
        is_dry=is_dry,
    )


def valid_until(business_date: date, hours: int, zone: tzinfo) -> str:
    """Give until when an audience of ``business_date`` may be used: hours from the midnight that ends the day."""
    midnight = datetime.combine(business_date + timedelta(days=1), time(), tzinfo=zone)
    return (midnight + timedelta(hours=hours)).isoformat()


def _keyed(people: pa.Table, secret: bytes) -> pa.Table:
    """Give people with their recipient key in front, sorted by it; ``one_id`` stays for the dictionary."""
    import pyarrow as pa

    keys = pa.array([recipient_key(secret, one_id) for one_id in people["one_id"].to_pylist()], pa.string())
    columns = {name: people[name] for name in people.column_names if name != "one_id"}
    rows = pa.table({"recipient_key": keys, **columns, "one_id": people["one_id"]})
    return rows.sort_by("recipient_key")


def _delivered_run(
    audience: Audience,
    name: str,
    root: Path,
    path: str,
    recipients: pa.Table,
    *,
    key: bytes,
    is_repeated: bool,
) -> StagedAudience:
    """Verify a run that is there already and give it; nothing of it is written again."""
    _require_verified(root / path, key)
    manifest = read_manifest(root / path)
    return StagedAudience(
        segment=audience.code,
        destination=name,
        run_id=manifest["run_id"],
        seq=manifest["seq"],
        as_of=audience.as_of,
        purpose=audience.purpose,
        published=manifest["counts"]["published"],
        root=root,
        path=path,
        folder=None,
        manifest_sha256=file_hash(root / path / MANIFEST),
        signature=_signature(root / path),
        files=tuple(manifest["files"]),
        valid_until=manifest["valid_until"],
        is_repeated=is_repeated,
        recipients=recipients,
        audience=audience,
        is_dry=name in audience.dry_destinations,
    )


def _fresh_run_id(run_id: str, run_ids: Collection[str]) -> str:
    """Give a run whose folder was moved away another name, since the lake keeps what was delivered under the first."""
    names = (f"{run_id}-{number}" for number in count(1))
    return run_id if run_id not in run_ids else next(name for name in names if name not in run_ids)


def _signature(run: Path) -> str | None:
    return (run / SIGNATURE).read_text(encoding="ascii").split()[0] if (run / SIGNATURE).is_file() else None


def _require_verified(run: Path, key: bytes) -> None:
    failures = verify_run(run, keys=lambda _: key).failures
    if failures:
        raise StepFailed(f"the delivered audience no longer verifies: {failures[0]}; {REPAIR}", file=run)


def _require_delivered(
    root: Path, latest: Mapping[str, Any], key: bytes, deliveries: Sequence[Delivery]
) -> None:
    """Refuse to make a delta from a run that is not the last one the lake delivered, byte by byte.

    A run that was released and not yet recorded, by a crash between both, has no delivery and is verified alone.
    """
    run = root / latest["path"]
    if not (run / SUCCESS).is_file():
        raise StepFailed(
            f"{LATEST} names a run that is not there, so what the destination holds is unknown; {REPAIR}",
            file=root / LATEST,
        )
    _require_verified(run, key)
    for delivery in deliveries:
        if delivery.as_of.isoformat() > latest["as_of"]:
            raise StepFailed(
                f"{LATEST} names run {latest['run_id']} of {latest['as_of']}, and run {delivery.run_id} of {delivery.as_of} "
                f"was delivered later, so what the destination holds is unknown; {REPAIR}",
                file=root / LATEST,
            )
        if delivery.run_id == latest["run_id"] and delivery.manifest_sha256 != file_hash(run / MANIFEST):
            raise StepFailed(f"{MANIFEST} is not the one that was delivered; {REPAIR}", file=run)


def _was_delivered(run: Path, latest: dict[str, Any] | None) -> bool:
    """Tell whether a run's folder was released before the newest one; one that would follow it was left by a crash."""
    if not (run / SUCCESS).is_file():
        shutil.rmtree(run, ignore_errors=True)
        return False
    following = latest["run_id"] if latest else None
    return read_manifest(run)["previous_run_id"] != following or (
        latest is not None and read_manifest(run)["seq"] <= latest["seq"]
    )


def _previous_rows(root: Path, latest: dict[str, Any] | None) -> pa.Table | None:
    if latest is None:
        return None
    run = root / latest["path"]
    return read_rows(run / "snapshot", read_manifest(run)["format"])


def _delta(
    snapshot: pa.Table, previous: pa.Table | None, file_format: str, quiet_columns: Sequence[str] = ()
) -> pa.Table:
    """Give op, recipient_key and the new values of everybody who entered, left or changed; sorted by recipient_key.

    A change in ``quiet_columns`` alone is none.
    """
    import pyarrow as pa

    comparable = as_read(snapshot, file_format)
    if previous is None or "recipient_key" not in previous.column_names:
        previous = comparable.schema.empty_table()
    # Arrow names the members of a list differently after Parquet, so types are compared as the manifest writes them.
    same = {f.name: type_name(f.type) for f in previous.schema} == {
        f.name: type_name(f.type) for f in comparable.schema
    }
    silent = {"recipient_key", *quiet_columns}
    values = [identifier(name) for name in comparable.column_names if name not in silent]
    is_changed = (
        " OR ".join(f"n.{name} IS DISTINCT FROM b.{name}" for name in values)
        if same and values
        else str(not same)
    )
    with open_scratch() as desk:
        now, before = desk.lend("now", comparable), desk.lend("before", previous)
        changes = desk.keep(
            "changes",
            "SELECT CASE WHEN b.recipient_key IS NULL THEN 'ENTER' WHEN n.recipient_key IS NULL THEN 'EXIT' ELSE 'UPDATE' END"
            " AS op, trim(coalesce(n.recipient_key, b.recipient_key), '\"') AS recipient_key\n"
            f"FROM {now} n FULL JOIN {before} b ON b.recipient_key = n.recipient_key\n"
            f"WHERE n.recipient_key IS NULL OR b.recipient_key IS NULL OR ({is_changed})",
        )
        people = desk.lend("snapshot", snapshot)
        rows = desk.arrow(f"SELECT * FROM {changes} LEFT JOIN {people} USING (recipient_key)")
    schema = pa.schema([pa.field("op", pa.string()), *snapshot.schema])
    return rows.select(schema.names).cast(schema).sort_by("recipient_key")


def _write_run(
    audience: Audience,
    name: str,
    folder: Path,
    snapshot: pa.Table,
    *,
    run_id: str,
    seq: int,
    latest: dict[str, Any] | None,
    until: str,
    secret: bytes,
    key: bytes,
    previous: pa.Table | None,
    spreadsheet: SpreadsheetRule,
) -> None:
    """Write files, manifest, its hash, its signature and ``_SUCCESS``, in this order."""
    is_csv = audience.file_format == "csv"
    formulas = formula_cells(snapshot) if is_csv else {}
    if formulas and spreadsheet == "refuse":
        raise GateStopped(
            f"the audience of segment '{audience.code}' for '{name}' has {sum(formulas.values())} cells that a spreadsheet "
            f"would run, the first in column '{next(iter(formulas))}', and the destination refuses them; "
            "correct the tag, or set spreadsheet: neutralise in destinations.yml"
        )
    if is_csv and spreadsheet == "neutralise":
        snapshot = neutral_cells(snapshot)
    delta = _delta(snapshot, previous, audience.file_format, audience.quiet_columns)
    modes = [mode for mode in ("snapshot", "delta") if mode in audience.modes]
    parts = []
    for mode in modes:
        parts += write_rows({"snapshot": snapshot, "delta": delta}[mode], folder / mode, audience.file_format)
    ops = delta["op"].to_pylist()
    counts = {
        **audience.counts,
        "delta": {
            "previous": previous.num_rows if previous is not None else 0,
            "enter": ops.count("ENTER"),
            "exit": ops.count("EXIT"),
            "update": ops.count("UPDATE"),
        },
    }
    manifest = {
        "contract_version": CONTRACT_VERSION,
        "segment": audience.code,
        "version": audience.version,
        "definition_hash": audience.definition_hash,
        "parameters": dict(audience.parameters),
        "purpose": audience.purpose,
        "destination": name,
        "run_id": run_id,
        "seq": seq,
        "previous_run_id": latest["run_id"] if latest else None,
        "as_of": audience.as_of.isoformat(),
        "valid_until": until,
        "mode": modes,
        "format": audience.file_format,
        "schema": schema_of(snapshot, audience.levels),
        "delta_schema": [OP_COLUMN, *schema_of(snapshot, audience.levels)],
        "files": [
            {
                "path": str(part.relative_to(folder)),
                "rows": count_rows(part, audience.file_format),
                "bytes": part.stat().st_size,
                "sha256": file_hash(part),
            }
            for part in parts
        ],
        "counts": counts,
        "key": {
            "column": "recipient_key",
            "profile": "hmac-sha256-128",
            "key_id": key_id(secret),
        },
        "consent_as_of": audience.as_of.isoformat(),
        "tag_versions": dict(sorted(audience.tag_versions.items())),
        "inputs": audience.inputs,
        "approvals": [dict(approval) for approval in audience.approvals],
        "signature": {"profile": PROFILE, "key_id": key_id(key)},
    }
    if audience.stage is not None:
        manifest["stage"] = audience.stage
    if audience.kind != "audience":
        manifest["kind"] = audience.kind
    if "delta" not in modes:
        del manifest["delta_schema"]
    if is_csv:
        manifest["spreadsheet"] = {"rule": spreadsheet, "cells": formulas}
    body = manifest_bytes(manifest)
    (folder / MANIFEST).write_bytes(body)
    (folder / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n", encoding="utf-8")
    (folder / SIGNATURE).write_text(f"{signature_of(body, key)}  {MANIFEST}\n", encoding="ascii")
    (folder / SUCCESS).write_bytes(b"")
