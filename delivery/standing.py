"""The runs that still stand: audiences a destination may go on using, and that this night does not replace.

A segment that was taken out of the workspace, or is no longer sent to a destination, leaves its last audience there until it
expires. It is read back as it was before it was written, so that whoever withdrew meanwhile can be taken out of it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.audience_files import LIST_SEPARATOR, read_rows
from delivery.contract.verify_audience import verify_run
from delivery.destinations import Destination, destination_folder
from delivery.disclosures import DIRECTORY
from delivery.manifest import read_latest, read_manifest
from delivery.spreadsheet_cells import MARK
from lakehouse.contracts.contract import arrow_type
from lakehouse.errors import StepFailed
from vocabulary.audience import Audience, StandingRun

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")


def standing_runs(
    lake: Lake, business_date: dt.date, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[StandingRun, ...]:
    """Give the newest run of each segment at each destination that may be used after the date and is not replaced by ``audiences``.

    A run that no longer verifies raises ``StepFailed``; a destination that is no longer named is told of.
    """
    replacements = {(name, audience.code) for audience in audiences for name in audience.live_destinations}
    rows = lake.read_arrow("segments.deliveries", columns=["destination", "code", "as_of"]).to_pylist()
    runs = []
    places = {(row["destination"], row["code"]) for row in rows}
    # A directory of a known destination follows from what stands there.
    replacements |= {place for place in places if place[1] == DIRECTORY and place[0] in destinations}
    for name, code in sorted(places - replacements):
        is_known = name in destinations
        folder = (
            destination_folder(lake.settings, name, destinations[name])
            if is_known
            else lake.settings.published / name
        )
        latest = read_latest(folder / code)
        if latest is None or latest["as_of"] > business_date.isoformat():
            continue
        hours = hours_left(latest["valid_until"], business_date, lake.settings.zone)
        if hours > 0 and is_known:
            runs.append(standing_run(lake, folder / code / latest["path"], name, business_date, hours))
        elif hours > 0:
            log.warning(
                "the audience of segment %s stands until %s at %s, which destinations.yml no longer names: nobody who withdraws is "
                "taken out of it",
                code,
                latest["valid_until"],
                name,
            )
    return tuple(runs)


def hours_left(valid_until: str, business_date: dt.date, zone: dt.tzinfo) -> int:
    """Give how long a run may be used after the midnight that ends the date, in hours as clocks show them."""
    until = dt.datetime.fromisoformat(valid_until).astimezone(zone).replace(tzinfo=None)
    midnight = dt.datetime.combine(business_date + dt.timedelta(days=1), dt.time())
    return round((until - midnight) / dt.timedelta(hours=1))


def standing_run(lake: Lake, run: Path, name: str, business_date: dt.date, hours: int) -> StandingRun:
    """Give a run of a destination as it was before it was written; one that no longer verifies raises ``StepFailed``."""
    failures = verify_run(run).failures
    if failures:
        raise StepFailed(
            f"the audience still stands and no longer verifies: {failures[0]}; "
            "restore it, or move the segment's folder away to begin anew",
            file=run,
        )
    manifest = read_manifest(run)
    audience = Audience(
        code=manifest["segment"],
        version=manifest["version"],
        definition_hash=manifest["definition_hash"],
        purpose=manifest["purpose"],
        run_id=manifest["run_id"],
        as_of=business_date,
        destinations=(name,),
        modes=("snapshot", "delta"),
        file_format=manifest["format"],
        valid_hours=hours,
        levels={column["name"]: column["level"] for column in manifest["schema"]},
        counts={key: count for key, count in manifest["counts"].items() if key != "delta"},
        tag_versions=manifest["tag_versions"],
        inputs=manifest["inputs"],
        people=_people(lake, name, typed_rows(run, manifest)),
        stage=manifest.get("stage"),
        approvals=tuple(manifest["approvals"]),
    )
    return StandingRun(audience, dt.date.fromisoformat(manifest["as_of"]))


def _people(lake: Lake, name: str, rows: pa.Table) -> pa.Table:
    """Give the rows with the OneID each recipient was published under; a key nobody knows is left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = lake.read_arrow(
        "segments.recipients", columns=["recipient_key", "one_id"], filters=[("destination", "=", name)]
    )
    columns = [column for column in rows.column_names if column != "recipient_key"]
    one_id_of = dict(zip(keys["recipient_key"].to_pylist(), keys["one_id"].to_pylist(), strict=True))
    one_ids = [one_id_of.get(key) for key in rows["recipient_key"].to_pylist()]
    people = pa.table(
        {"one_id": pa.array(one_ids, pa.int64()), **{column: rows[column] for column in columns}}
    )
    return people.filter(pc.is_valid(people["one_id"])).sort_by("one_id")


def typed_rows(run: Path, manifest: Mapping[str, Any]) -> pa.Table:
    """Give the snapshot of a run as it was before it was written: values of their types, no apostrophes put before them."""
    import pyarrow as pa

    rows = read_rows(run / "snapshot", manifest["format"])
    if manifest["format"] == "parquet":
        return rows
    is_marked = manifest.get("spreadsheet", {}).get("rule") == "neutralise"
    columns = {}
    for column in manifest["schema"]:
        kind = arrow_type(column["type"])
        value = _csv_value(kind, is_marked=is_marked) if manifest["format"] == "csv" else _json_value(kind)
        texts = rows[column["name"]].to_pylist() if column["name"] in rows.column_names else []
        columns[column["name"]] = pa.array([value(text) for text in texts], kind)
    return pa.table(columns)


def _csv_value(kind: pa.DataType, *, is_marked: bool) -> Callable[[str], Any]:
    import pyarrow as pa

    def value(text: str) -> Any:
        if is_marked and (pa.types.is_string(kind) or pa.types.is_list(kind)):
            text = text.removeprefix(MARK)
        if text == "":
            return None
        if pa.types.is_list(kind):
            return [_scalar(kind.value_type, member) for member in text.split(LIST_SEPARATOR)]
        return _scalar(kind, text)

    return value


def _json_value(kind: pa.DataType) -> Callable[[str | None], Any]:
    def value(text: str | None) -> Any:
        member = None if text is None else json.loads(text)
        return _scalar(kind, member) if isinstance(member, str) else member

    return value


def _scalar(kind: pa.DataType, text: str) -> Any:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return text == "true"
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    return dt.date.fromisoformat(text) if pa.types.is_date(kind) else text
