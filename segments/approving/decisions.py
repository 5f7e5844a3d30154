"""Decisions about segments: ``audit/segments.jsonl``, one JSON object each time, only ever added to.

Each line names the one before it and is signed by the workspace's ``decisions_key``: a line that was changed, taken out, or written in
another workspace is seen; that the newest lines, or all, are gone is told by its head (``heads``). It is a file and no table of the lake,
so that a night which is taken back takes no decision with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as _secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from delivery.contract.verify_audience import signature_of
from lakehouse.errors import StepFailed, UsageError
from lakehouse.settings.settings import Settings
from segments.approving.heads import RecordHead, read_head, write_head

FOLDER: Final = "audit"
FILE: Final = "segments.jsonl"
SECRET: Final = "decisions_key"
ID_DIGITS = 16
_BEGIN_ANEW: Final = "begin anew: cdp segments begin-anew"
Action = Literal["approve", "revoke", "hold", "release", "pause", "resume", "recall", "begin"]


class LostDecisions(BaseModel):
    """What a published night says it had read, and the record did not hold any more when it began anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    head: str


class Decision(BaseModel):
    """One decision as it is recorded; ``decision_id`` follows from its signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seq: int
    decided_at: datetime
    user: str
    role: str
    action: Action
    code: str
    version: str | None = None
    definition_hash: str | None = None
    authors: tuple[str, ...] | None = None
    """Of a tag that is approved, who owns its file or is named by its owner."""
    basis: str | None = None
    stage: str | None = None
    until: date | None = None
    revokes: str | None = None
    note: str | None = None
    loss: LostDecisions | None = None
    """Of one that begins a record anew, what it was asked to go on without."""
    previous: str | None = None
    signature: str = ""

    @property
    def decision_id(self) -> str:
        """What other decisions and manifests call it."""
        return self.signature[:ID_DIGITS]


@dataclass(frozen=True)
class DecisionLog:
    """All decisions of a workspace, oldest first, as they were written."""

    decisions: tuple[Decision, ...] = field(default=())

    @property
    def head(self) -> str | None:
        """The signature of the newest one, which all others follow from."""
        return self.decisions[-1].signature if self.decisions else None


def log_file(settings: Settings) -> Path:
    """Give the file of a workspace's decisions."""
    return settings.workspace / FOLDER / FILE


def read_log(settings: Settings) -> DecisionLog:
    """Read every decision; one that is not as it was written, or not there any more, raises ``StepFailed``."""
    # The head first: whoever decides meanwhile adds to the record before it.
    head = read_head(settings, SECRET)
    log = _stored_log(settings)
    _require_head(log, head, log_file(settings))
    return log


def _stored_log(settings: Settings) -> DecisionLog:
    file = log_file(settings)
    if not os.path.lexists(file):
        return DecisionLog()
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            body = stream.read()
    except OSError as wrong:
        raise StepFailed(f"the decisions cannot be read: {wrong.strerror}", file=file) from None
    return _log_of(body, file, settings)


@contextmanager
def log_held(settings: Settings) -> Iterator[DecisionLog]:
    """Hold off new decisions while the block runs; gives those that there are. Before the first decision nothing is held."""
    file = log_file(settings)
    if not os.path.lexists(file):
        yield read_log(settings)
        return
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as wrong:
        raise StepFailed(f"the decisions cannot be read: {wrong.strerror}", file=file) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield read_log(settings)
    finally:
        os.close(handle)


def add_decision(settings: Settings, entry: Mapping[str, Any], *, begins: bool = False) -> Decision:
    """Add a decision, one at a time, and give it; ``StepFailed`` where it cannot be written, and then nothing counts.

    One that ``begins`` a record stands in a new file, and nothing of an older one is asked for.
    """
    key = settings.secret(SECRET)
    file = log_file(settings)
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError as wrong:
        raise StepFailed(f"the decision cannot be recorded: {wrong.strerror}", file=file) from None
    with os.fdopen(handle, "r+b", buffering=0) as stream:
        fcntl.flock(handle, fcntl.LOCK_EX)
        body = stream.read()
        log = _log_of(body, file, settings)
        if not begins:
            _require_head(log, read_head(settings, SECRET), file)
        decision = Decision(seq=len(log.decisions) + 1, previous=log.head, **entry)
        decision = decision.model_copy(update={"signature": signature_of(_signed_bytes(decision), key)})
        line = (decision.model_dump_json(exclude_none=True) + "\n").encode()
        try:
            if stream.write(line) != len(line):
                raise OSError(0, "the disk took only a part of it")
            os.fsync(handle)
            write_head(settings, RecordHead(decision.seq, decision.signature), SECRET)
        except OSError as wrong:
            os.ftruncate(handle, len(body))
            raise StepFailed(f"the decision cannot be recorded: {wrong.strerror}", file=file) from None
    return decision


def require_continuation(log: DecisionLog, mark: Mapping[str, Any] | None, file: Path) -> None:
    """Refuse a record that lost decisions which a published night had read; ``mark`` is what that night says of it.

    A record that began anew goes on without those that its first decision names, and without no others.
    """
    if not mark:
        return
    loss = log.decisions[0].loss if log.decisions else None
    if loss is not None and (loss.count, loss.head) == (mark["count"], mark["head"]):
        return
    count: int = mark["count"]
    if len(log.decisions) < count or log.decisions[count - 1].signature != mark["head"]:
        raise StepFailed(
            f"the published night read {count} decisions about segments and they are not there any more; "
            f"restore the file from a backup, or, where they are lost for good, {_BEGIN_ANEW}",
            file=file,
        )


def begin_record(
    settings: Settings, entry: Mapping[str, Any], mark: Mapping[str, Any] | None
) -> tuple[Decision, Path | None]:
    """Begin the record anew, where decisions are lost for good, and give the first decision of it, and where the older file lies now.

    The decision says that all that was decided before counts no more, and names what the newest published night had read of it, its
    ``mark``: what is lost later is another loss. A sound record raises ``UsageError``.
    """
    file = log_file(settings)
    try:
        require_continuation(read_log(settings), mark, file)
    except StepFailed:
        pass
    else:
        raise UsageError("the record of decisions is whole; nothing was recorded")
    aside = None
    if os.path.lexists(file):
        aside = file.with_name(f"{file.stem}.{_secrets.token_hex(4)}{file.suffix}")
        try:
            file.rename(aside)
        except OSError as wrong:
            raise StepFailed(f"the older record cannot be put aside: {wrong.strerror}", file=file) from None
    loss = {"count": mark["count"], "head": mark["head"]} if mark else None
    return add_decision(settings, {**entry, "action": "begin", "code": "", "loss": loss}, begins=True), aside


def advance_head(settings: Settings) -> None:
    """Move the head on to the newest decision, where a crash left it behind or none was written yet."""
    with log_held(settings) as log:
        head = read_head(settings, SECRET)
        if log.head is not None and (head is None or head.signature != log.head):
            write_head(settings, RecordHead(len(log.decisions), log.head), SECRET)


def _require_head(log: DecisionLog, head: RecordHead | None, file: Path) -> None:
    if head is None:
        return
    if len(log.decisions) < head.count or log.decisions[head.count - 1].signature != head.signature:
        raise StepFailed(
            f"the newest of {head.count} recorded decisions is not there any more; restore the file from a backup, or, where it is"
            f" lost for good, {_BEGIN_ANEW}",
            file=file,
        )


def _signed_bytes(decision: Decision) -> bytes:
    parts = decision.model_dump(mode="json", exclude={"signature"}, exclude_none=True)
    return json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _log_of(body: bytes, file: Path, settings: Settings) -> DecisionLog:
    lines = body.splitlines()
    if not lines:
        return DecisionLog()
    key = settings.secret(SECRET)
    decisions: list[Decision] = []
    for number, line in enumerate(lines, 1):
        try:
            decision = Decision.model_validate_json(line)
        except ValidationError:
            raise _damage(file, number, "is no decision") from None
        before = decisions[-1].signature if decisions else None
        if (decision.seq, decision.previous) != (number, before):
            raise _damage(file, number, "does not follow the line before it")
        if decision.signature != signature_of(_signed_bytes(decision), key):
            raise _damage(file, number, f"is not signed by this workspace's {SECRET}")
        decisions.append(decision)
    return DecisionLog(tuple(decisions))


def _damage(file: Path, line: int, what: str) -> StepFailed:
    return StepFailed(
        f"the line {what}: decisions were changed, or copied from another workspace; restore the file from a backup, or "
        f"{_BEGIN_ANEW}",
        file=file,
        line=line,
    )


def of_segment(decisions: Sequence[Decision], code: str) -> list[Decision]:
    """Give the decisions about one segment, oldest first."""
    return [decision for decision in decisions if decision.code == code]
