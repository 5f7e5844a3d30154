"""The record of reveals (who saw identifiers unmasked, when, why and of which tables) and of look-ups (who saw which people, or asked for whom in vain).

``audit/reveals.jsonl`` and ``audit/lookups.jsonl`` of the workspace have one JSON object each time. Lines are only ever added. They
are files and no tables of the lake: a reader may not write there, and a night that is taken back must not take a reveal with it.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from lakehouse.clock import now
from lakehouse.errors import PersonNotShown, StepFailed, UsageError
from lakehouse.query.published import Publication, Published
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from segments.approving.branch_scopes import BranchScope

FOLDER: Final = "audit"
FILE: Final = "reveals.jsonl"
LOOKUPS: Final = "lookups.jsonl"


def record_reveal(
    settings: Settings, reason: str, publication: Publication, tables: Sequence[str]
) -> dict[str, Any]:
    """Add a reveal and give its entry; ``StepFailed`` where it cannot be written, so that nothing is shown unrecorded.

    The user is the one the operating system knows, whatever the environment says. One whom ``roles.yml`` gives no right to it gets a
    line with a refusal and ``UsageError``.
    """
    return _record_reveal(
        settings,
        {
            "reason": reason,
            "business_date": publication.business_date.isoformat(),
            "run_id": publication.run_id,
            "tables": list(tables),
        },
    )


def record_file_reveal(settings: Settings, feed: str, file: str) -> dict[str, Any]:
    """Add that values of a delivered file were shown unmasked, and give the entry; whom ``roles.yml`` gives no right raises ``UsageError``."""
    return _record_reveal(settings, {"reason": "feeds check --show-values", "feed": feed, "file": file})


def record_dbt_reveal(settings: Settings, publication: Publication, command: str) -> dict[str, Any]:
    """Add that rows of any table may be shown unmasked by a command of dbt; as ``record_file_reveal`` otherwise."""
    publication_of_rows = {
        "business_date": publication.business_date.isoformat(),
        "run_id": publication.run_id,
        "tables": sorted(publication.tables),
    }
    return _record_reveal(settings, {"reason": f"dbt {command}", **publication_of_rows})


def _record_reveal(settings: Settings, what: dict[str, Any]) -> dict[str, Any]:
    from segments.approving.roles import read_roles, reveal_fault

    entry = {"revealed_at": now().isoformat(timespec="seconds"), "user": operating_user(), **what}
    fault = reveal_fault(read_roles(settings.workspace), operating_user())
    _add(settings, FILE, "reveal", entry if fault is None else entry | {"refusal": "role"})
    if fault is not None:
        raise UsageError(f"{fault}; this is recorded")
    return entry


def record_lookup(
    settings: Settings,
    command: str,
    publication: Publication,
    one_ids: Sequence[int],
    *,
    is_revealed: bool = False,
    refusal: str | None = None,
    identifier: str | None = None,
    statement: tuple[Sequence[str], int] | None = None,
) -> dict[str, Any]:
    """Add a look-up of people by a command and give its entry; ``StepFailed`` where it cannot be written.

    ``refusal`` is why the people were not shown, ``identifier`` by what kind of identifier one was asked for and not found,
    ``statement`` the tables and the number of rows of a statement of SQL; without them the entry has no such keys.
    """
    entry = _lookup_entry(command, publication, one_ids, is_revealed=is_revealed)
    if refusal is not None:
        entry["refusal"] = refusal
    if identifier is not None:
        entry["identifier"] = identifier
    if statement is not None:
        tables, rows = statement
        entry |= {"tables": list(tables), "rows": rows}
    _add(settings, LOOKUPS, "look-up", entry)
    return entry


def record_disclosure(settings: Settings, command: str, publication: Publication) -> dict[str, Any]:
    """Add that all published tables, masked, were given to other programs, whose questions nobody sees; give the entry.

    ``StepFailed`` where it cannot be written, so that nothing is given.
    """
    entry = _lookup_entry(command, publication, [], is_revealed=False) | {
        "tables": sorted(publication.tables)
    }
    _add(settings, LOOKUPS, "look-up", entry)
    return entry


def _lookup_entry(
    command: str, publication: Publication, one_ids: Sequence[int], *, is_revealed: bool
) -> dict[str, Any]:
    return {
        "looked_up_at": now().isoformat(timespec="seconds"),
        "user": operating_user(),
        "command": command,
        "business_date": publication.business_date.isoformat(),
        "run_id": publication.run_id,
        "is_revealed": is_revealed,
        "one_ids": list(one_ids),
    }


@contextmanager
def recorded_misses(settings: Settings, command: str, publication: Publication) -> Iterator[None]:
    """Record a look-up that shows nobody, by the kind of what was asked and never by its value; then the error goes on.

    Who tries numbers to learn which of them are customers is seen like who finds them.
    """
    try:
        yield
    except PersonNotShown as miss:
        record_lookup(
            settings, command, publication, miss.one_ids, refusal=miss.refusal, identifier=miss.identifier
        )
        raise


def reader_scope(settings: Settings) -> BranchScope | None:
    """Give the branches whose people the user of the operating system is shown; None where these are all."""
    from segments.approving.branch_scopes import branch_scope

    return branch_scope(settings.workspace, operating_user())


def refuse_other_branches(published: Published, command: str, one_id: int) -> None:
    """Record and raise ``UsageError`` where a person is of no branch whose people the user is shown."""
    scope = reader_scope(published.settings)
    if scope is None or scope.has(published, one_id):
        return
    record_lookup(published.settings, command, published.publication, [one_id], refusal="branch")
    raise UsageError(f"the person is of another branch, and {scope.sentence}; this is recorded")


def _add(settings: Settings, name: str, what: str, entry: dict[str, Any]) -> None:
    folder = settings.workspace / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "ab", buffering=0) as file:
            # One call of the operating system, so that lines of commands at the same time stay whole.
            file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode())
            os.fsync(handle)
    except OSError as wrong:
        raise StepFailed(
            f"the {what} cannot be recorded, so nothing is shown: {wrong.strerror}", file=folder / name
        ) from None


def operating_user() -> str:
    """Give the user the operating system knows, whatever the environment says."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
