"""The chain of publications: each names the hash of the one before it, and a small file beside the table names the last.

A row that was deleted, changed or put between others breaks the chain; one that was cut off the end is missed by the head,
``<lake>/ops/HEAD.json``. Rows from before there was a chain are covered by the first row that has a hash, and their own
contents are unverified.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from lakehouse.errors import StepFailed
from lakehouse.query.published import PUBLICATIONS, Publication
from lakehouse.settings.settings import Settings

FIRST = "0" * 64
HEAD_FILE = "HEAD.json"
REPAIR = "restore lake/ops from a backup, HEAD.json and the tables in it together"


@dataclass(frozen=True)
class Head:
    """The last publication as the file beside the table names it."""

    seq: int
    hash: str


def publication_hash(publication: Publication) -> str:
    """Give the hash of all that a publication's row says."""
    body = asdict(publication) | {"business_date": publication.business_date.isoformat()}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def next_hash(entries: Sequence[Publication]) -> str:
    """Give what the publication after ``entries`` says of the one before it."""
    return publication_hash(entries[-1]) if entries else FIRST


def head_file(settings: Settings) -> Path:
    """Give where the head of the chain stands."""
    return settings.lake / "ops" / HEAD_FILE


def write_head(settings: Settings, publication: Publication) -> None:
    """Make a publication the head of the chain; the file is replaced at once."""
    file = head_file(settings)
    unfinished = file.with_name(f".{HEAD_FILE}.unfinished")
    head = Head(publication.seq, publication_hash(publication))
    with unfinished.open("w", encoding="utf-8") as out:
        out.write(json.dumps(asdict(head)) + "\n")
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)


def read_head(settings: Settings) -> Head | None:
    """Give the head of the chain; None where the file is not there. A file that says nothing raises ``StepFailed``."""
    file = head_file(settings)
    if not file.is_file():
        return None
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return Head(int(entry["seq"]), str(entry["hash"]))
    except (ValueError, KeyError, TypeError):
        raise StepFailed(
            f"the head of the chain of publications cannot be read; {REPAIR}", file=file
        ) from None


def chain_faults(entries: Sequence[Publication], head: Head | None) -> list[str]:
    """Give one sentence for each break of the chain; ``entries`` are sorted by their number."""
    faults = [
        f"{PUBLICATIONS}: publication {number} is missing or there twice"
        for number, entry in zip(range(1, len(entries) + 1), entries, strict=True)
        if entry.seq != number
    ][:1]
    previous = None
    for entry in entries:
        before = publication_hash(previous) if previous else FIRST
        if entry.previous_hash is None:
            if previous is not None and previous.previous_hash is not None:
                faults.append(
                    f"{PUBLICATIONS}: publication {entry.seq} does not say which one it follows, as those before it do"
                )
        elif entry.previous_hash != before and not faults:
            faults.append(
                f"{PUBLICATIONS}: publication {entry.seq} does not follow "
                + (f"publication {previous.seq} as it stands: one of both was changed" if previous else "nothing: an earlier one is missing")
            )  # fmt: skip
        previous = entry
    return faults + _head_faults(entries, head)


def _head_faults(entries: Sequence[Publication], head: Head | None) -> list[str]:
    if head is None:
        is_chained = any(entry.previous_hash is not None for entry in entries)
        return [f"the head of the chain of publications, ops/{HEAD_FILE}, is missing"] if is_chained else []
    entry_of_head = next((entry for entry in entries if entry.seq == head.seq), None)
    if entry_of_head is None:
        last = f"{entries[-1].seq} of {entries[-1].business_date}" if entries else "none"
        return [
            f"{PUBLICATIONS}: publication {head.seq} was the last one and is missing; the last one there is {last}"
        ]
    if publication_hash(entry_of_head) != head.hash:
        return [f"{PUBLICATIONS}: publication {head.seq} is not the one that was published"]
    return []


def require_chain(settings: Settings, entries: Sequence[Publication]) -> None:
    """Refuse a lake whose publications are not those that were made: ``StepFailed`` with the first break."""
    faults = chain_faults(entries, read_head(settings))
    if faults:
        raise StepFailed(f"{faults[0]}; {REPAIR}, nothing was written")
