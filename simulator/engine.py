"""Who answers published audiences: a marketing engine, the fate of every message; and employees, what became of the people on worklists.

Both answer by a file of the next day.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from lakehouse.errors import InputInvalid
from simulator.truth.effects import OPENS, caused_purchases, write_purchases
from simulator.world.draws import join_texts, moments, replace_where, strings_of, texts_at

FEED = "marketing_receipts"
# What whoever answers reads of an audience; an employee is of worklists alone.
RECIPIENT_COLUMNS = ("recipient_key", "channel", "employee")
STATUSES = ["SENT", "DELIVERED", "OPENED", "CLICKED", "BOUNCED_HARD", "BOUNCED_SOFT", "COMPLAINED", "REFUSED"]
SENT, DELIVERED, OPENED, CLICKED, BOUNCED_HARD, BOUNCED_SOFT, COMPLAINED, REFUSED = range(8)
HARD_BOUNCE_SHARE, SOFT_BOUNCE_SHARE, COMPLAINT_SHARE, REFUSAL_SHARE = 0.02, 0.03, 0.003, 0.004
WORKLIST_FEED = "crm_answers"
WORK_STATUSES = ["ASSIGNED", "CONTACTED", "FOLLOW_UP", "WON", "LOST"]
ASSIGNED, CONTACTED, FOLLOW_UP, WON, LOST = range(5)
# Of the people of a desk, who is reached on the day; of these, who asks to be called again, and who agrees.
REACHED_SHARE, FOLLOW_UP_SHARE, WON_SHARE = 0.75, 0.25, 0.2
# minutes after 09:00
MINUTES_OF_WORK = np.array([0, 60, 75, 75, 75])
# minutes after the sending (from 09:00 on the day after the business date)
MINUTES_AFTER_SENDING = np.array([0, 1, 30, 34, 1, 1, 180, 240])


@dataclass(frozen=True)
class Answers:
    """What the engine writes: the file (None without any audience), messages, rows by status, and the purchases they cause.

    ``work`` are the rows by status that employees write about the people on their worklists.
    """

    file: Path | None
    messages: int
    statuses: dict[str, int]
    purchases: int = 0
    work: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Give the answers as plain values."""
        return {
            "file": str(self.file) if self.file else None,
            "messages": self.messages,
            "statuses": self.statuses,
            "purchases": self.purchases,
            **({"work": self.work} if self.work else {}),
        }


def answer(
    published_root: Path, inbox: Path, business_date: date, *, users: Mapping[str, str] | None = None, truth: Path | None = None
) -> Answers:  # fmt: skip
    """Send the published audiences of a business date and write the receipts of the next day into the inbox.

    With the app user of each recipient and a truth folder, delivered messages also cause purchases (see `simulator.truth.effects`).

    The engine reads the newest complete run (`_SUCCESS` present, highest `seq`) of every segment and destination. Every outcome depends
    only on recipient and run, so the same audiences give the same bytes. Raises `InputInvalid` where a manifest names an absent file.
    """
    audiences = _audiences(published_root, business_date)
    next_day = business_date + timedelta(days=1)
    work = _write_work([one for one in audiences if _is_worklist(one[0])], inbox, next_day)
    answers = [
        _receipts(manifest, folder, business_date)
        for manifest, folder in audiences
        if not _is_worklist(manifest)
    ]
    tables = [receipts for receipts, _ in answers if len(receipts)]
    if not tables:
        return Answers(None, 0, {}, work=work)
    receipts = pa.concat_tables(tables).sort_by([("event_at", "ascending"), ("receipt_id", "ascending")])
    path = _write_file(receipts, inbox / FEED / next_day.isoformat() / "receipts.csv")
    purchases = 0
    if users is not None and truth is not None:
        responses = pa.concat_tables([audience_responses for _, audience_responses in answers])
        purchases = write_purchases(responses, users, inbox, truth, next_day)
    counts = Counter(receipts["status"].to_pylist())
    return Answers(path, counts["SENT"], {s: counts[s] for s in STATUSES if counts[s]}, purchases, work)


def _write_file(rows: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        sink.write((",".join(rows.column_names) + "\n").encode())
        pacsv.write_csv(rows, sink, pacsv.WriteOptions(include_header=False, quoting_style="none"))
    return path


def _is_worklist(manifest: Mapping[str, Any]) -> bool:
    return any(column["name"] == "talking_points" for column in manifest.get("schema", ()))


def _write_work(worklists: list[tuple[dict[str, Any], Path]], inbox: Path, day: date) -> dict[str, int]:
    """Write what employees say of the people on their worklists by the evening of ``day``; give the rows by status."""
    tables = [_work(manifest, folder, day) for manifest, folder in worklists]
    rows = [table for table in tables if len(table)]
    if not rows:
        return {}
    answers = pa.concat_tables(rows).sort_by([("event_at", "ascending"), ("answer_id", "ascending")])
    _write_file(answers, inbox / WORKLIST_FEED / day.isoformat() / "answers.csv")
    counts = Counter(answers["status"].to_pylist())
    return {status: counts[status] for status in WORK_STATUSES if counts[status]}


def _work(manifest: dict[str, Any], folder: Path, day: date) -> pa.Table:
    run = str(manifest["run_id"])
    audience = _recipients(manifest, folder)
    keys = audience["recipient_key"].to_pylist()
    digests, draws = _draws(run, keys)
    is_contacted = draws[:, 0] < REACHED_SHARE
    is_follow_up = is_contacted & (draws[:, 1] < FOLLOW_UP_SHARE)
    is_won = is_contacted & ~is_follow_up & (draws[:, 1] < FOLLOW_UP_SHARE + WON_SHARE)
    masks = {
        ASSIGNED: np.ones(len(keys), dtype=bool), CONTACTED: is_contacted, FOLLOW_UP: is_follow_up, WON: is_won,
        LOST: is_contacted & ~is_follow_up & ~is_won,
    }  # fmt: skip
    person = np.concatenate([np.flatnonzero(mask) for mask in masks.values()]).astype(np.int64)
    status = np.concatenate([np.full(int(mask.sum()), place) for place, mask in masks.items()]).astype(
        np.int64
    )
    # Each person has a time of the day of their own, at which an employee comes to them.
    minutes = MINUTES_OF_WORK[status] + np.where(
        status > ASSIGNED, (draws[person, 5] * 360).astype(np.int64), 0
    )
    zeros, positions = np.zeros(len(person), dtype=np.int64), pa.array(person)
    number = (day - date(1970, 1, 1)).days
    # Employees are named with the source that knows them, which is not theirs.
    employees = pc.replace_substring_regex(pc.fill_null(audience["employee"], ""), "^.*/", "")
    return pa.table({
        "answer_id": join_texts(_names(digests).take(positions), "-", texts_at([str(i) for i in range(len(WORK_STATUSES))], status)),
        "run_id": texts_at([run], zeros),
        "destination": texts_at([folder.parents[3].name], zeros),
        "recipient_key": audience["recipient_key"].combine_chunks().cast(pa.large_string()).take(positions),
        "segment": texts_at([str(manifest["segment"])], zeros),
        "channel": audience["channel"].combine_chunks().cast(pa.large_string()).take(positions),
        "status": texts_at(WORK_STATUSES, status),
        "purpose": texts_at([str(manifest["purpose"])], zeros),
        "employee": employees.combine_chunks().cast(pa.large_string()).take(positions),
        "event_at": moments(np.full(len(person), number), 9 * 3600 + minutes * 60),
    })  # fmt: skip


def _draws(run: str, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Give one digest per recipient and run, and of it eight independent uniforms of 32 bits."""
    digests = np.frombuffer(
        b"".join(hashlib.blake2b(f"{run}|{k}".encode(), digest_size=32).digest() for k in keys), dtype="<u4"
    )
    return digests.reshape(-1, 8), digests.reshape(-1, 8).astype(np.float64) / 2**32


def _names(digests: np.ndarray) -> pa.Array:
    """Give the name that each digest is, 24 hexadecimal digits."""
    digest_bytes = np.frombuffer(b"".join(d.tobytes() for d in digests[:, :4]), dtype=np.uint8).reshape(
        -1, 16
    )
    hex_digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    return strings_of(
        np.stack([hex_digits[digest_bytes >> 4], hex_digits[digest_bytes & 15]], axis=2).reshape(-1, 32)[
            :, :24
        ]
    )


def _audiences(root: Path, business_date: date) -> list[tuple[dict[str, Any], Path]]:
    newest_runs: dict[Path, tuple[int, str, dict[str, Any], Path]] = {}
    for path in sorted(root.glob(f"*/*/v=*/as_of={business_date.isoformat()}/run=*/_manifest.json")):
        if not (path.parent / "_SUCCESS").exists():
            continue
        manifest = json.loads(path.read_text())
        if manifest.get("kind", "audience") != "audience":
            continue
        segment = path.parents[3]
        run = (int(manifest.get("seq") or 0), path.parent.name, manifest, path.parent)
        if segment not in newest_runs or run[:2] > newest_runs[segment][:2]:
            newest_runs[segment] = run
    return [(run[2], run[3]) for _, run in sorted(newest_runs.items())]


def _recipients(manifest: dict[str, Any], folder: Path) -> pa.Table:
    file_names = [str(f["path"]) for f in manifest.get("files", [])]
    paths = (
        [folder / n for n in file_names if "delta/" not in n]
        if file_names
        else sorted((folder / "snapshot").glob("*"))
    )
    parts = []
    for path in paths:
        if not path.exists():
            raise InputInvalid(
                f"the manifest names {path.name}, which is not there; publish the run again",
                file=folder / "_manifest.json",
            )
        table = _rows(path)
        if "recipient_key" not in table.column_names:
            raise InputInvalid(
                "the audience has no column recipient_key; the engine cannot address anybody", file=path
            )
        parts.append(pa.table({name: _texts_of(table, name) for name in RECIPIENT_COLUMNS}))
    return (
        pa.concat_tables(parts)
        if parts
        else pa.table({name: pa.array([], pa.string()) for name in RECIPIENT_COLUMNS})
    )


def _texts_of(table: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    return table[name].cast(pa.string()) if name in table.column_names else pa.nulls(len(table), pa.string())


def _rows(path: Path) -> pa.Table:
    """Give the rows of an audience's file; JSON lines of nobody are an empty file, which names no columns."""
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".jsonl":
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        columns = [
            name
            for name in RECIPIENT_COLUMNS
            if name == "recipient_key" or any(name in entry for entry in entries)
        ]
        if not all("recipient_key" in entry for entry in entries):
            return pa.table({})
        return pa.table(
            {name: pa.array([entry.get(name) for entry in entries], pa.string()) for name in columns}
        )
    return pacsv.read_csv(path)


def _receipts(manifest: dict[str, Any], folder: Path, business_date: date) -> tuple[pa.Table, pa.Table]:
    """Give the receipts of an audience, and the response of each recipient."""
    run = str(manifest["run_id"])
    audience = _recipients(manifest, folder)
    keys = audience["recipient_key"].to_pylist()
    channels = [c or "SMS" for c in audience["channel"].to_pylist()]
    digests, draws = _draws(run, keys)
    chances = np.array([OPENS.get(c, OPENS["SMS"]) for c in channels]).reshape(-1, 2)
    is_hard_bounce, is_soft_bounce = (
        draws[:, 0] < HARD_BOUNCE_SHARE,
        (draws[:, 0] >= HARD_BOUNCE_SHARE) & (draws[:, 0] < HARD_BOUNCE_SHARE + SOFT_BOUNCE_SHARE),
    )
    is_delivered = ~is_hard_bounce & ~is_soft_bounce
    is_opened = is_delivered & (draws[:, 1] < chances[:, 0])
    masks = {
        SENT: np.ones(len(keys), dtype=bool), DELIVERED: is_delivered, OPENED: is_opened, CLICKED: is_opened & (draws[:, 2] < chances[:, 1]),
        BOUNCED_HARD: is_hard_bounce, BOUNCED_SOFT: is_soft_bounce, COMPLAINED: is_delivered & (draws[:, 3] < COMPLAINT_SHARE),
        REFUSED: is_delivered & (draws[:, 4] < REFUSAL_SHARE),
    }  # fmt: skip
    recipient = np.concatenate([np.flatnonzero(mask) for mask in masks.values()]).astype(np.int64)
    status = np.concatenate([np.full(int(mask.sum()), place) for place, mask in masks.items()]).astype(
        np.int64
    )
    day = (business_date - date(1970, 1, 1)).days + 1
    start_second = 9 * 3600 + (draws[recipient, 5] * 2 * 3600).astype(np.int64)
    delay = MINUTES_AFTER_SENDING[status] * 60 * (1 + np.where(status >= OPENED, draws[recipient, 6] * 4, 0))
    second = np.minimum(start_second + delay.astype(np.int64), 86_399)
    receipt_names = _names(digests)
    receipt_zeros = np.zeros(len(recipient), dtype=np.int64)
    positions = pa.array(recipient)
    zeros = np.zeros(len(keys), dtype=np.int64)
    segment = str(manifest.get("segment") or folder.parents[2].name)
    channel_texts = pa.array(channels, pa.large_string())
    responses = pa.table({
        "run_id": texts_at([run], zeros),
        "segment": texts_at([segment], zeros),
        "channel": channel_texts,
        "recipient_key": audience["recipient_key"].combine_chunks().cast(pa.large_string()),
        "is_delivered": pa.array(is_delivered),
        "buys": pa.array(caused_purchases(is_delivered, channel_texts, draws[:, 7])),
    })  # fmt: skip
    receipts = pa.table({
        "receipt_id": join_texts(receipt_names.take(positions), "-", texts_at([str(i) for i in range(len(STATUSES))], status)),
        "run_id": texts_at([run], receipt_zeros),
        "destination": texts_at([folder.parents[3].name], receipt_zeros),
        "recipient_key": audience["recipient_key"].combine_chunks().cast(pa.large_string()).take(positions),
        "segment": texts_at([segment], receipt_zeros),
        "channel": replace_where(pa.array(channels, pa.large_string()).take(positions), np.zeros(len(recipient), dtype=bool), None),
        "status": texts_at(STATUSES, status),
        "purpose": texts_at([str(manifest.get("purpose") or "marketing")], receipt_zeros),
        "event_at": moments(np.full(len(recipient), day), second),
    })  # fmt: skip
    return receipts, responses
