"""Handing audiences to folder destinations: staged first, released by a rename and a pointer replaced last.

``<root>/<destination>/<segment>/v=<major>/as_of=<day>/run=<run_id>/`` holds ``snapshot/``, ``delta/``, the manifest, its
hash and ``_SUCCESS``; ``LATEST.json`` points to the newest run. The delta is against what this destination last
received. A crash at any point leaves either the old pointer or the new one, each with a complete run.
"""

from __future__ import annotations

import hmac
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.audience_files import as_read, count_rows, read_rows, write_rows
from delivery.manifest import (
    CONTRACT_VERSION,
    LATEST,
    MANIFEST,
    MANIFEST_SUM,
    SUCCESS,
    manifest_bytes,
    read_latest,
    read_manifest,
    schema_of,
    type_name,
)
from delivery.verification import verify_run
from lakehouse.errors import StepFailed
from lakehouse.query.hashing import file_hash
from lakehouse.settings.settings import Settings
from segments.choosing.decide import Decision
from segments.language.policy import Destination, destination_folder
from segments.language.spec import valid_until
from segments.language.tag_facts import TagFacts

if TYPE_CHECKING:
    import pyarrow as pa

STAGING = ".staging"
KEY_DIGITS = 32


@dataclass(frozen=True)
class StagedAudience:
    """One audience for one destination, complete but not visible; ``staged`` is None when the run is there already."""

    segment: str
    destination: str
    run_id: str
    seq: int
    as_of: date
    published: int
    root: Path
    path: str
    staged: Path | None
    manifest_sha256: str
    valid_until: str
    is_repeated: bool
    recipients: Any = field(default=None, repr=False)

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
    decision: Decision,
    name: str,
    destination: Destination,
    *,
    settings: Settings,
    business_date: date,
    tags: dict[str, TagFacts],
) -> StagedAudience | None:
    """Write a decision's audience for one destination into a hidden folder, unless that run was delivered already.

    None where the destination has received a newer business date: replayed history is not handed on again. A
    delivered run that no longer verifies raises ``StepFailed``: it is evidence and is not overwritten.
    """
    secret = settings.secret(secret_name(name))
    root = destination_folder(settings, name, destination) / decision.segment.code
    shutil.rmtree(root / STAGING, ignore_errors=True)
    latest = read_latest(root)
    if latest and latest["as_of"] > business_date.isoformat():
        return None
    rows = _keyed(decision.audience, secret)
    keys = rows.select(["recipient_key", "one_id"])
    day = f"v={decision.segment.major}/as_of={business_date.isoformat()}"
    seq = 1 + (latest["seq"] if latest else 0)
    run_id = decision.run_id
    if latest and latest["run_id"].partition("-")[0] == run_id:
        return _delivered(decision, name, root, latest["path"], business_date, keys, is_repeated=True)
    if _was_delivered(root / day / f"run={run_id}", latest):
        run_id = f"{run_id}-{seq}"
    elif (root / day / f"run={run_id}").is_dir():
        return _delivered(decision, name, root, f"{day}/run={run_id}", business_date, keys, is_repeated=False)
    staged = root / STAGING / f"run={run_id}"
    audience = rows.drop_columns(["one_id"])
    previous = _previous_rows(root, latest)
    delta = _delta(audience, previous, decision.segment.spec.publish.format)
    until = valid_until(decision.segment, business_date, settings.zone)
    _write_run(decision, name, staged, audience, delta, run_id=run_id, seq=seq, latest=latest, until=until,
               business_date=business_date, secret=secret, tags=tags, previous_rows=previous)  # fmt: skip
    return StagedAudience(
        segment=decision.segment.code,
        destination=name,
        run_id=run_id,
        seq=seq,
        as_of=business_date,
        published=audience.num_rows,
        root=root,
        path=f"{day}/run={run_id}",
        staged=staged,
        manifest_sha256=file_hash(staged / MANIFEST),
        valid_until=until,
        is_repeated=False,
        recipients=keys,
    )


def release_audience(audience: StagedAudience) -> None:
    """Make a staged audience visible: rename its folder, then replace the pointer. A repeated one changes nothing."""
    if audience.is_repeated:
        return
    final = audience.root / audience.path
    if audience.staged is not None:
        _remove_unreleased(audience.root, keep=final)
        final.parent.mkdir(parents=True, exist_ok=True)
        audience.staged.rename(final)
    shutil.rmtree(audience.root / STAGING, ignore_errors=True)
    text = json.dumps(audience.pointer, indent=2) + "\n"
    unfinished = audience.root / f".{LATEST}.unfinished"
    with unfinished.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(audience.root / LATEST)


def discard_audience(audience: StagedAudience) -> None:
    """Remove a staged audience that will not be released."""
    shutil.rmtree(audience.root / STAGING, ignore_errors=True)


def delivery_rows(audiences: Iterable[StagedAudience]) -> list[dict[str, Any]]:
    """Give the rows of ``segments.deliveries``."""
    return [
        {
            "run_id": audience.run_id,
            "destination": audience.destination,
            "code": audience.segment,
            "as_of": audience.as_of,
            "seq": audience.seq,
            "attempt": 1,
            "status": "DELIVERED",
            "accepted": audience.published,
            "rejected": 0,
            "manifest_sha256": audience.manifest_sha256,
        }
        for audience in audiences
    ]


def _keyed(audience: pa.Table, secret: bytes) -> pa.Table:
    """Give the audience with its recipient key in front, sorted by it; ``one_id`` stays for the dictionary."""
    import pyarrow as pa

    keys = pa.array([recipient_key(secret, one_id) for one_id in audience["one_id"].to_pylist()], pa.string())
    wanted = [name for name in audience.column_names if name != "one_id"]
    rows = pa.table({"recipient_key": keys, **{n: audience[n] for n in wanted}, "one_id": audience["one_id"]})
    return rows.sort_by("recipient_key")


def _delivered(
    decision: Decision,
    name: str,
    root: Path,
    path: str,
    business_date: date,
    keys: pa.Table,
    *,
    is_repeated: bool,
) -> StagedAudience:
    """Verify a run that is there already and give it; nothing of it is written again."""
    verdict = verify_run(root / path)
    if verdict.failures:
        raise StepFailed(
            f"the delivered audience no longer verifies: {verdict.failures[0]}; "
            "restore it, or move the segment's folder away to begin anew",
            file=root / path,
        )
    manifest = read_manifest(root / path)
    return StagedAudience(
        segment=decision.segment.code,
        destination=name,
        run_id=manifest["run_id"],
        seq=manifest["seq"],
        as_of=business_date,
        published=manifest["counts"]["published"],
        root=root,
        path=path,
        staged=None,
        manifest_sha256=file_hash(root / path / MANIFEST),
        valid_until=manifest["valid_until"],
        is_repeated=is_repeated,
        recipients=keys,
    )


def _was_delivered(run: Path, latest: dict[str, Any] | None) -> bool:
    """Tell whether a run's folder was released before the newest one; one that would follow it was left by a crash."""
    if not (run / SUCCESS).is_file():
        shutil.rmtree(run, ignore_errors=True)
        return False
    following = latest["run_id"] if latest else None
    return read_manifest(run)["previous_run_id"] != following or (
        latest is not None and read_manifest(run)["seq"] <= latest["seq"]
    )


def _remove_unreleased(root: Path, keep: Path) -> None:
    """Remove complete runs no pointer ever named: those numbered above the newest released one."""
    latest = read_latest(root)
    released = latest["seq"] if latest else 0
    for run in root.glob("v=*/as_of=*/run=*"):
        if run != keep and (not (run / SUCCESS).is_file() or read_manifest(run)["seq"] > released):
            shutil.rmtree(run)


def _previous_rows(root: Path, latest: dict[str, Any] | None) -> pa.Table | None:
    if latest is None:
        return None
    run = root / latest["path"]
    if not (run / SUCCESS).is_file():
        raise StepFailed(
            f"{LATEST} names a run that is not there, so what the destination holds is unknown; "
            "restore the folder, or remove it whole to begin anew",
            file=root / LATEST,
        )
    return read_rows(run / "snapshot", read_manifest(run)["format"])


def _delta(audience: pa.Table, previous: pa.Table | None, file_format: str) -> pa.Table:
    """Give op, recipient_key and the new values of everybody who entered, left or changed; sorted by recipient_key."""
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    comparable = as_read(audience, file_format)
    if previous is None or "recipient_key" not in previous.column_names:
        previous = comparable.schema.empty_table()
    connection.register("now", comparable)
    connection.register("before", previous)
    # Arrow names the members of a list differently after Parquet, so types are compared as the manifest writes them.
    same = {f.name: type_name(f.type) for f in previous.schema} == {
        f.name: type_name(f.type) for f in comparable.schema
    }
    values = [name for name in comparable.column_names if name != "recipient_key"]
    changed = (
        " OR ".join(f'n."{name}" IS DISTINCT FROM b."{name}"' for name in values)
        if same and values
        else str(not same)
    )
    ops = connection.sql(
        "SELECT CASE WHEN b.recipient_key IS NULL THEN 'ENTER' WHEN n.recipient_key IS NULL THEN 'EXIT' ELSE 'UPDATE' END"
        " AS op, trim(coalesce(n.recipient_key, b.recipient_key), '\"') AS recipient_key\n"
        "FROM now n FULL JOIN before b ON b.recipient_key = n.recipient_key\n"
        f"WHERE n.recipient_key IS NULL OR b.recipient_key IS NULL OR ({changed})"
    ).to_arrow_table()
    connection.register("ops", ops)
    connection.register("audience", audience)
    told = connection.sql("SELECT * FROM ops LEFT JOIN audience USING (recipient_key)").to_arrow_table()
    columns = {"op": told["op"], **{name: told[name] for name in audience.column_names}}
    schema = pa.schema([pa.field("op", pa.string()), *audience.schema])
    return pa.table(columns).cast(schema).sort_by("recipient_key")


def _write_run(
    decision: Decision,
    name: str,
    staged: Path,
    audience: pa.Table,
    delta: pa.Table,
    *,
    run_id: str,
    seq: int,
    latest: dict[str, Any] | None,
    until: str,
    business_date: date,
    secret: bytes,
    tags: dict[str, TagFacts],
    previous_rows: pa.Table | None,
) -> None:
    """Write files, manifest, its hash and ``_SUCCESS``, in this order."""
    publish = decision.segment.spec.publish
    parts = []
    for mode, rows in (("snapshot", audience), ("delta", delta)):
        if mode in publish.mode:
            parts += write_rows(rows, staged / mode, publish.format)
    ops = delta["op"].to_pylist()
    counts = {
        **decision.counts,
        "delta": {
            "previous": previous_rows.num_rows if previous_rows is not None else 0,
            "enter": ops.count("ENTER"),
            "exit": ops.count("EXIT"),
            "update": ops.count("UPDATE"),
        },
    }
    manifest = {
        "contract_version": CONTRACT_VERSION,
        "segment": decision.segment.code,
        "version": decision.segment.version,
        "definition_hash": decision.segment.definition_hash,
        "parameters": {},
        "purpose": decision.segment.spec.purpose,
        "destination": name,
        "run_id": run_id,
        "seq": seq,
        "previous_run_id": latest["run_id"] if latest else None,
        "as_of": business_date.isoformat(),
        "valid_until": until,
        "mode": [mode for mode in ("snapshot", "delta") if mode in publish.mode],
        "format": publish.format,
        "schema": schema_of(audience, {code: fact.level for code, fact in tags.items()}),
        "files": [
            {
                "path": str(part.relative_to(staged)),
                "rows": count_rows(part, publish.format),
                "bytes": part.stat().st_size,
                "sha256": file_hash(part),
            }
            for part in parts
        ],
        "counts": counts,
        "key": {
            "column": "recipient_key",
            "profile": "hmac-sha256-128",
            "key_id": sha256(b"key id|" + secret).hexdigest()[:12],
        },
        "consent_as_of": business_date.isoformat(),
        "tag_versions": dict(sorted(decision.tag_versions.items())),
        "inputs": decision.inputs,
        "approvals": [],
    }
    body = manifest_bytes(manifest)
    (staged / MANIFEST).write_bytes(body)
    (staged / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n", encoding="utf-8")
    (staged / SUCCESS).write_bytes(b"")
