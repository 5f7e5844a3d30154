"""Counts of statements that name a tag: per day and tag how many, and nothing else of them. Kept only where cdp.yml says so.

``audit/tag_queries/<day>.json`` of the workspace. No user, no time, no text and no value: who asks what is nobody's business
for the question whether a tag is used at all.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.clock import now
from vocabulary.entities import TAG_ENTITIES

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.query.question import Question
    from lakehouse.settings.settings import Settings

FOLDER = ("audit", "tag_queries")
TABLES = frozenset(table for entity in TAG_ENTITIES.values() for table in (entity.current, entity.daily))
MOST_BYTES = 1_000_000
log = logging.getLogger("cdp.sql")


def count_query(settings: Settings, statement: str, question: Question) -> None:
    """Count a statement once for each tag that it names; a count that cannot be written does not keep the answer back.

    `select *` names none. A name counts only where it is that of a registered tag.
    """
    if not settings.count_queries or not TABLES & set(question.tables):
        return
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    registry = load_registry(settings.workspace, shipped=REGISTRY)
    codes = sorted(names_in_statement(statement) & set(registry.entries))
    if not codes:
        return
    try:
        _add(_folder(settings) / f"{now().astimezone(settings.zone).date()}.json", codes)
    except OSError as wrong:
        log.info("the use of tags could not be counted: %s", wrong.strerror)


def names_in_statement(statement: str) -> set[str]:
    """Give the names of columns in a statement, in small letters; texts and comments are no names."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = sqlglot.parse(statement, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return set()
    return {column.name.lower() for tree in trees if tree is not None for column in tree.find_all(exp.Column)}


def last_queries(settings: Settings) -> dict[str, date]:
    """Give by tag the last day on which a counted statement named it; a file that is damaged counts for nothing."""
    days: dict[str, date] = {}
    for file in sorted(_folder(settings).glob("*.json")):
        try:
            day = date.fromisoformat(file.stem)
            counts = json.loads(file.read_bytes()[:MOST_BYTES])
        except (OSError, ValueError):
            continue
        if isinstance(counts, dict):
            days |= dict.fromkeys((code for code, count in counts.items() if count), day)
    return days


def _folder(settings: Settings) -> Path:
    return settings.workspace.joinpath(*FOLDER)


def _add(file: Path, codes: Iterable[str]) -> None:
    """Add one to the count of each code; one command at a time."""
    for folder in (file.parent.parent, file.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "r+b") as stream:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            counts = json.loads(stream.read(MOST_BYTES) or b"{}")
        except ValueError:
            counts = {}
        counts = counts if isinstance(counts, dict) else {}
        for code in codes:
            count = counts.get(code, 0)
            counts[code] = 1 + (count if isinstance(count, int) else 0)
        stream.seek(0)
        stream.truncate()
        stream.write(json.dumps(counts, sort_keys=True).encode())
