"""Static lists: ``lists/<name>@<version>.csv`` of the workspace, a version is never edited.

A header names either ``one_id`` or ``source,source_key``; an optional ``expires_on`` ends an entry
(first day it no longer holds). The file's hash is part of the run's inputs.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lakehouse.errors import SettingsInvalid
from lakehouse.query.hashing import file_hash
from segments.language.conditions import ListLeaf

FOLDER = "lists"


@dataclass(frozen=True)
class ListEntry:
    """One line of a list: a OneID, or a profile whose OneID memberships know."""

    one_id: int | None
    source: str | None
    source_key: str | None
    expires_on: date | None


@dataclass(frozen=True)
class StaticList:
    """One list file as read."""

    reference: str
    file: Path
    sha256: str
    entries: tuple[ListEntry, ...]

    def holding(self, business_date: date) -> list[ListEntry]:
        """Give the entries that hold on a business date."""
        return [e for e in self.entries if e.expires_on is None or business_date < e.expires_on]


def list_file(workspace: Path, leaf: ListLeaf) -> Path:
    """Give the file a list leaf names."""
    return workspace / FOLDER / f"{leaf.reference}.csv"


def known_lists(workspace: Path) -> list[str]:
    """Give the references of all lists of the workspace."""
    return sorted(file.stem for file in (workspace / FOLDER).glob("*@*.csv"))


def read_list(workspace: Path, leaf: ListLeaf) -> StaticList:
    """Read a list; an unreadable line raises ``SettingsInvalid`` with file and line, and no value of it."""
    file = list_file(workspace, leaf)
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text)
        names = set(rows.fieldnames or ())
        by_profile = {"source", "source_key"} <= names
        if by_profile == ("one_id" in names) or names - {"one_id", "source", "source_key", "expires_on"}:
            raise SettingsInvalid(
                "the header of a list is one_id or source,source_key, and optionally expires_on",
                file=file,
                line=1,
            )
        entries = []
        for row in rows:
            try:
                ends = date.fromisoformat(row["expires_on"]) if row.get("expires_on") else None
                one_id = None if by_profile else int(row["one_id"])
            except (TypeError, ValueError):
                raise SettingsInvalid(
                    "one_id is a whole number and expires_on a day like 2026-12-31",
                    file=file,
                    line=rows.line_num,
                ) from None
            if by_profile and not (row["source"] and row["source_key"]):
                raise SettingsInvalid("source and source_key are both needed", file=file, line=rows.line_num)
            entries.append(ListEntry(one_id, row.get("source"), row.get("source_key"), ends))
    return StaticList(leaf.reference, file, file_hash(file), tuple(entries))
