"""A consumer of audiences: verifies, applies the delta or the snapshot, and answers with receipts.

Begin with this file and ``verify_audience.py`` beside it. ``send`` is where your own program goes::

    python consume.py FOLDER/gold --key-file KEY --memory memory.json --receipts receipts.csv --at "$(date --iso-8601=seconds)"

Exit code 0 with one JSON object about what changed, 1 where the audience must not be used: then nothing changed and nobody is sent
anything. 1 with a sentence where this machine lacks something, 2 where the command cannot be meant.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path

import verify_audience as contract

RECEIPT = ("receipt_id", "run_id", "destination", "recipient_key", "segment", "channel", "status", "purpose", "event_at")  # fmt: skip
ATTEMPTS = 3


class Refusal(Exception):
    """The audience must not be used; ``kind`` stands in ``contract.KINDS``, or is ``replay``."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


def consume(root, key, memory, at, kind="audience"):
    """Take the newest run of a segment's folder; give what changed, the manifest, and the memory to keep."""
    for _ in range(ATTEMPTS):
        before = _read_pointer(root)
        run = root / before["path"]
        change, manifest, state = _take(root, run, key, memory, at)
        if manifest.get("kind", "audience") != kind:
            raise Refusal("place", f"the folder holds no {kind}")
        # Published meanwhile: what was read may be superseded already.
        if _read_pointer(root)["run_id"] == before["run_id"]:
            return change, manifest, state
    raise Refusal("superseded", "the segment is published faster than it is read")


def _read_pointer(root):
    try:
        pointer = contract.read_latest(root)
    except contract.UnreadableAudience as wrong:
        raise Refusal("pointer", str(wrong)) from None
    if pointer is None or not (root / pointer["path"]).is_dir():
        raise Refusal("pointer", "LATEST.json names no run that is there")
    return pointer


def _take(root, run, key, memory, at):
    verdict = contract.verify_run(run, at=at, keys=lambda _: key, needs_signature=True)
    for fault in (*verdict.faults, *contract.verify_pointer(root).faults):
        raise Refusal(fault.kind, fault.sentence)
    manifest = contract.read_manifest(run)
    held, seq = memory.get("rows", {}), memory.get("seq", 0)
    if manifest["seq"] < seq:
        raise Refusal(
            "replay", f"run {manifest['run_id']} has seq {manifest['seq']}, and {seq} was used before"
        )
    if manifest["run_id"] == memory.get("run_id"):
        outcome, rows = "nothing new", held
    elif _delta_fits(manifest, memory):
        outcome, rows = "delta", _with_delta(held, run, manifest)
    else:
        outcome, rows = "snapshot", {row[contract.KEY]: row for row in read_rows(run, "snapshot", manifest)}
    state = {
        "run_id": manifest["run_id"],
        "seq": manifest["seq"],
        "valid_until": manifest["valid_until"],
        "rows": rows,
    }
    change = {
        "outcome": outcome,
        "enter": sorted(rows.keys() - held.keys()),
        "exit": sorted(held.keys() - rows.keys()),
        "update": sorted(key for key in rows.keys() & held.keys() if rows[key] != held[key]),
    }
    return change, manifest, state


def _delta_fits(manifest, memory):
    return (
        "delta" in manifest["mode"]
        and manifest["previous_run_id"] is not None
        and manifest["previous_run_id"] == memory.get("run_id")
    )


def _with_delta(held, run, manifest):
    rows = dict(held)
    for row in read_rows(run, "delta", manifest):
        if row.pop("op") == "EXIT":
            del rows[row[contract.KEY]]
        else:
            rows[row[contract.KEY]] = row
    if len(rows) != manifest["counts"]["published"]:
        raise Refusal("delta", "the delta does not lead to as many recipients as were published")
    return rows


def read_rows(run, mode, manifest):
    """Give the rows of the snapshot or the delta, values as JSON lines hold them; of CSV the text that was meant."""
    columns = [column["name"] for column in manifest["schema"]]
    if mode == "delta":
        columns = ["op", *columns]
    form = manifest["format"]
    values = contract.read_columns(run, mode, form, columns)
    if form == "csv" and manifest["spreadsheet"]["rule"] == "neutralise":
        for column in manifest["schema"]:
            if column["type"] == "string" or column["type"].startswith("array"):
                values[column["name"]] = [cell.removeprefix("'") for cell in values[column["name"]]]
    if form == "parquet":
        values = {name: [_plain(value) for value in column] for name, column in values.items()}
    return [
        dict(zip(columns, row, strict=True)) for row in zip(*(values[name] for name in columns), strict=True)
    ]


def _plain(value):
    """Decimals and days are text: a number with decimals would be rounded on its way."""
    return value if value is None or isinstance(value, (str, bool, int, list)) else str(value)


def resolve(rows, directory):
    """Give each recipient with the row of the directory that says who it is; None where the directory knows nobody."""
    return {key: directory.get(key) for key in rows}


def send(row):
    """Your engine: contact one recipient. Give the status to report."""
    return "SENT"


def receipts_of(change, manifest, state, at):
    """Send to whoever entered and give a receipt for each; the same contact has the same receipt_id for ever."""
    for key in change["enter"]:
        row = state["rows"][key]
        channel, status = row.get("channel") or "SMS", send(row)
        name = "|".join((manifest["run_id"], key, channel, status))
        yield {
            "receipt_id": hashlib.sha256(name.encode()).hexdigest()[:24],
            "run_id": manifest["run_id"],
            "destination": manifest["destination"],
            "recipient_key": key,
            "segment": manifest["segment"],
            "channel": channel,
            "status": status,
            "purpose": manifest["purpose"],
            "event_at": at.isoformat(timespec="seconds"),
        }


def _write_receipts(file, receipts):
    is_new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, RECEIPT, lineterminator="\r\n")
        if is_new:
            writer.writeheader()
        writer.writerows(receipts)


def _write_memory(file, memory):
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(memory), encoding="utf-8")
    unfinished.replace(file)


def instant(text):
    """Give an instant with its offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError("an instant needs its offset, such as 2026-11-21T09:00:00+08:00")
    return at


def _read_memory(file):
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError):
        sys.exit(
            f"the memory {file} cannot be read; without it the next run loads the snapshot, so move it away"
        )


def main():
    """Consume one segment once; give the exit code."""
    parser = argparse.ArgumentParser(description="Consume the newest audience of a segment.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--memory", type=Path, required=True)
    parser.add_argument("--receipts", type=Path)
    parser.add_argument(
        "--directory", type=Path, help="folder of the directory, to say who the recipients are"
    )
    parser.add_argument("--at", type=instant, required=True)
    options = parser.parse_args()
    if not options.key_file.is_file():
        parser.error(f"there is no key file {options.key_file}")
    key = options.key_file.read_bytes().strip()
    memory = _read_memory(options.memory)
    try:
        if options.directory:
            _, manifest, directory = consume(
                options.directory, key, memory.get("_directory", {}), options.at, "directory"
            )
            memory["_directory"] = directory
        segment = options.folder.name
        change, manifest, state = consume(options.folder, key, memory.get(segment, {}), options.at)
    except Refusal as wrong:
        print(json.dumps({"outcome": "refused", "kind": wrong.kind, "sentence": str(wrong)}))
        return 1
    except ModuleNotFoundError as wrong:
        sys.exit(f"{wrong.name} is missing: Parquet needs `pip install pyarrow`")
    if options.directory:
        addresses = resolve(state["rows"], memory["_directory"]["rows"])
        change["addresses"] = {key: row for key, row in addresses.items() if row}
        change["unresolved"] = sorted(key for key, row in addresses.items() if not row)
    if options.receipts:
        # Before the memory: whoever is stopped here sends again under the same receipt_id, and nobody is forgotten.
        _write_receipts(options.receipts, receipts_of(change, manifest, state, options.at))
    memory[segment] = state
    _write_memory(options.memory, memory)
    print(json.dumps(change))
    return 0


if __name__ == "__main__":
    sys.exit(main())
