"""What stands between a segment and its publication on a business date: approvals it lacks, a hold, a pause, a recall.

An approval counts for the basis it was given for (the definition, bounds of parameters included, the definitions it names, the lists it
reads), for its stage and those below, until its last day, unless it was revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

from lakehouse.query.hashing import file_hash, text_hash
from lakehouse.settings.settings import Settings
from segments.approving.decisions import Decision, DecisionLog, log_held, of_segment, read_log
from segments.approving.external import FOLDER, ExternalApproval, approval_files, read_external
from segments.approving.roles import ROLES_FILE, RolesFile, read_roles
from segments.language.checks.findings import SpecFinding
from segments.language.conditions import ListLeaf, SegmentLeaf
from segments.language.leaves.dates import DateLeaf
from segments.language.lists import list_file
from segments.language.segment_leaves import all_leaves
from segments.language.spec import STAGES, Approvals, Segment

LACKING = "E15"
# What ends each of them.
ENDS = {"hold": "release", "recall": "release", "pause": "resume"}


@dataclass(frozen=True)
class Authority:
    """All that was decided about the segments of a workspace, and who may decide."""

    workspace: Path
    log: DecisionLog = field(default_factory=DecisionLog)
    external: tuple[ExternalApproval, ...] = ()
    roles: RolesFile = field(default_factory=RolesFile)
    zone: tzinfo = UTC
    """Whose days the sentences name."""

    @property
    def state(self) -> str | None:
        """A hash of everything decided; None where nothing ever was."""
        files = approval_files(self.workspace)
        if self.log.head is None and not files:
            return None
        # What is no ordinary file counts for nothing and is not opened.
        hashes = {file: file_hash(file) if file.is_file() else None for file in files}
        return text_hash(self.log.head, *(f"{f.relative_to(self.workspace)}={h}" for f, h in hashes.items()))


@dataclass(frozen=True)
class Barrier:
    """Why a segment is not published: ``kind`` is E15, hold, pause or recall."""

    segment: Segment
    kind: str
    sentence: str

    def finding(self) -> SpecFinding:
        """Give it as a finding of a check."""
        line = self.segment.line("rollout", "stage") or self.segment.line("approvals")
        return SpecFinding(self.kind, self.sentence, self.segment.file, line)


@dataclass(frozen=True)
class Approval:
    """One approval as it was given, by a role or another system, and why it does not count for a segment; None where it does."""

    by: str
    stage: str
    basis: str | None
    definition_hash: str | None
    version: str | None
    user: str
    approved_at: datetime
    until: date | None
    approval_id: str
    fault: str | None = None

    @property
    def state(self) -> str:
        """``valid``, or why it does not count."""
        return self.fault or "valid"

    def entry(self) -> dict[str, Any]:
        """Give what a manifest says of it: no user."""
        return {
            "by": self.by,
            "stage": self.stage,
            "definition_hash": self.definition_hash,
            "basis": self.basis,
            "approval_id": self.approval_id,
            "approved_at": self.approved_at.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
        }


@dataclass(frozen=True)
class Standing:
    """Where one segment stands: its basis, every approval, those that let it out, what it lacks and its barrier, if any.

    The basis is empty where nobody is asked and nothing was decided.
    """

    segment: Segment
    basis: str
    approvals: tuple[Approval, ...]
    counting: tuple[Approval, ...]
    lacking: Barrier | None
    barrier: Barrier | None


def read_authority(settings: Settings, log: DecisionLog | None = None) -> Authority:
    """Read roles, decisions and files of other systems; ``log`` where it was read already."""
    return Authority(
        settings.workspace,
        read_log(settings) if log is None else log,
        read_external(settings),
        read_roles(settings.workspace),
        settings.zone,
    )


@contextmanager
def authority_held(settings: Settings) -> Iterator[Authority]:
    """Hold off new decisions while the block runs; gives what is decided."""
    with log_held(settings) as log:
        yield read_authority(settings, log)


def standings(segments: Sequence[Segment], authority: Authority, business_date: date) -> dict[str, Standing]:
    """Give where every segment of a workspace stands on a business date, by its code."""
    by_code = {segment.code: segment for segment in segments}
    return {segment.code: _standing(segment, by_code, authority, business_date) for segment in segments}


def barriers_of(every: Mapping[str, Standing]) -> dict[str, Barrier]:
    """Give the barriers there are, by the codes of their segments."""
    return {code: one.barrier for code, one in every.items() if one.barrier is not None}


def approval_findings(
    segments: Sequence[Segment], authority: Authority, business_date: date
) -> list[SpecFinding]:
    """Give a finding for each segment whose stage lacks approvals, and for each file of another system that counts for nothing."""
    lacking = [
        one.lacking.finding()
        for one in standings(segments, authority, business_date).values()
        if one.lacking is not None
    ]
    faulty = [
        SpecFinding("W05", f"this approval counts for nothing: {one.fault}", one.file, None)
        for one in authority.external
        if one.fault
    ]
    return [*lacking, *faulty]


def basis_of(segment: Segment, by_code: Mapping[str, Segment], workspace: Path) -> str:
    """Give the hash of what an approval is for: every definition, list and calendar that decides who is chosen."""
    scope, waiting = {segment.code: segment.definition_hash}, [segment]
    lists: dict[str, str | None] = {}
    while waiting:
        one = waiting.pop()
        whitelist = one.spec.rollout.whitelist
        files = {
            leaf.reference: list_file(workspace, leaf)
            for leaf in all_leaves(one)
            if isinstance(leaf, ListLeaf)
        }
        if whitelist is not None:
            name, _, version = whitelist.partition("@")
            files[whitelist] = list_file(workspace, ListLeaf(name, version))
        files |= {
            f"calendar {leaf.calendar}": leaf.open_days.file
            for leaf in all_leaves(one)
            if isinstance(leaf, DateLeaf) and leaf.open_days is not None
        }
        lists |= {name: file_hash(file) if file.is_file() else None for name, file in files.items()}
        for leaf in all_leaves(one):
            if isinstance(leaf, SegmentLeaf) and leaf.segment not in scope:
                other = by_code.get(leaf.segment)
                scope[leaf.segment] = other.definition_hash if other is not None else ""
                waiting += [other] if other is not None else []
    return text_hash(
        *(f"{code}={digest}" for code, digest in sorted(scope.items())),
        *(f"{name}={digest}" for name, digest in sorted(lists.items())),
    )


def stopped_codes(log: DecisionLog, action: str) -> set[str]:
    """Give the segments, of the workspace or gone from it, that a hold, a pause or a recall stops now."""
    codes = {decision.code for decision in log.decisions}
    return {
        code
        for code in codes
        if any(one.action == action for one in open_stops(of_segment(log.decisions, code)))
    }


def _standing(
    segment: Segment, by_code: Mapping[str, Segment], authority: Authority, business_date: date
) -> Standing:
    decisions = of_segment(authority.log.decisions, segment.code)
    is_asked = segment.spec.approvals is not None or authority.roles.every_segment is not None
    if not is_asked and not decisions:
        return Standing(segment, "", (), (), None, None)
    basis = basis_of(segment, by_code, authority.workspace)
    approvals = (
        *_of_record(segment, basis, decisions, business_date),
        *_external(segment, basis, authority, business_date),
    )
    rules = (segment.spec.approvals, authority.roles.every_segment)
    counting, missing = counting_approvals(rules, approvals, authority.roles)
    lacking = None
    if missing:
        lacking = Barrier(segment, LACKING, _lacking_sentence(segment, missing, approvals, authority.roles))
    barrier = lacking
    for stop in open_stops(decisions):
        day = stop.decided_at.astimezone(authority.zone).date()
        why = f": {stop.note}" if stop.note else ""
        words = {"hold": "is on hold", "pause": "is paused", "recall": "was recalled"}[stop.action]
        sentence = f"the segment '{segment.code}' {words} by {stop.role} since {day}{why}"
        barrier = Barrier(segment, stop.action, sentence)
    return Standing(segment, basis, approvals, counting, lacking, barrier)


def open_stops(decisions: Iterable[Decision]) -> list[Decision]:
    """Give the holds, recalls and pauses that stand; only the role that gave one ends it."""
    stops: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        if decision.action in ENDS:
            stops[decision.action, decision.role] = decision
        actions = [action for action, end in ENDS.items() if end == decision.action]
        for action in actions:
            stops.pop((action, decision.role), None)
    order = ["pause", "hold", "recall"]
    return sorted(stops.values(), key=lambda one: (order.index(one.action), one.seq))


def _of_record(
    segment: Segment, basis: str, decisions: Sequence[Decision], business_date: date
) -> Iterator[Approval]:
    revoked = {decision.revokes for decision in decisions if decision.action == "revoke"}
    for one in decisions:
        if one.action == "approve":
            fault = "revoked" if one.decision_id in revoked else None
            yield Approval(
                one.role, str(one.stage), one.basis, one.definition_hash, one.version, one.user, one.decided_at, one.until,
                one.decision_id, fault or _fault(segment, basis, str(one.stage), one.basis, one.until, business_date),
            )  # fmt: skip


def _external(segment: Segment, basis: str, authority: Authority, business_date: date) -> Iterator[Approval]:
    files = [(one.system, one.content) for one in authority.external if one.content is not None]
    withdrawn = {(system, file.approval_id) for system, file in files if file.decision == "withdrawn"}
    for system, file in files:
        if file.code != segment.code or file.decision != "approved":
            continue
        fault = "revoked" if (system, file.approval_id) in withdrawn else None
        if file.definition_hash != segment.definition_hash:
            fault = fault or "for another definition"
        yield Approval(
            f"{FOLDER}/{system}", file.stage, file.basis, file.definition_hash, file.version, file.approved_by,
            file.approved_at, file.until, file.approval_id,
            fault or _fault(segment, basis, file.stage, file.basis, file.until, business_date),
        )  # fmt: skip


def _fault(
    segment: Segment, basis: str, stage: str, given_basis: str | None, until: date | None, business_date: date
) -> str | None:
    if given_basis != basis:
        return "for another definition"
    if until is not None and business_date > until:
        return f"expired on {until}"
    if STAGES.index(stage) < STAGES.index(segment.spec.rollout.effective_stage):
        return f"for {stage} only"
    return None


def counting_approvals(
    every_rule: Iterable[Approvals | None], approvals: Sequence[Approval], roles: RolesFile
) -> tuple[tuple[Approval, ...], list[str]]:
    """Give the approvals that suffice for some rules, and what is missing; where a role says four eyes, each comes from another user."""
    valid: dict[str, list[Approval]] = {}
    for one in approvals:
        if one.fault is None:
            valid.setdefault(one.by, []).append(one)
    alternatives: list[list[str]] = []
    for rules in every_rule:
        if rules is not None:
            alternatives += [[name] for name in rules.all_of]
            alternatives += [rules.any_of] if rules.any_of else []
            alternatives += [[f"{FOLDER}/{rules.external}"]] if rules.external else []
    missing = [" or ".join(names) for names in alternatives if not any(name in valid for name in names)]
    if missing:
        return (), list(dict.fromkeys(missing))
    choice = _choose(alternatives, valid, roles)
    return (
        (choice, [])
        if choice is not None
        else ((), ["a second user: one person cannot approve for two roles"])
    )


def _choose(
    alternatives: Sequence[Sequence[str]],
    valid: Mapping[str, list[Approval]],
    roles: RolesFile,
    choice: tuple[Approval, ...] = (),
) -> tuple[Approval, ...] | None:
    """Choose an approval for each of some alternatives, of different users where four eyes are asked for; None where none fits."""
    if not alternatives:
        return choice

    def needs_another(name: str) -> bool:
        return name in roles.roles and roles.roles[name].four_eyes

    def is_of_same_eyes(one: Approval, other: Approval) -> bool:
        is_two = one.by != other.by and one.user == other.user
        return is_two and (needs_another(one.by) or needs_another(other.by))

    for one in (one for name in alternatives[0] for one in reversed(valid.get(name, []))):
        if any(is_of_same_eyes(one, other) for other in choice):
            continue
        further = choice if any(one.by == other.by for other in choice) else (*choice, one)
        whole = _choose(alternatives[1:], valid, roles, further)
        if whole is not None:
            return whole
    return None


def _lacking_sentence(
    segment: Segment, missing: Sequence[str], approvals: Sequence[Approval], roles: RolesFile
) -> str:
    stage = segment.spec.rollout.effective_stage
    unknown = [
        name
        for name in (segment.spec.approvals.roles if segment.spec.approvals else ())
        if name not in roles.roles
    ]
    if unknown:
        return f"'{segment.code}' needs the approval of '{unknown[0]}', and {ROLES_FILE} has no such role"
    names = {name for part in missing for name in part.split(" or ")}
    near = [f"{one.by}: {one.fault}" for one in approvals if one.fault and one.by in names]
    hint = f" ({'; '.join(dict.fromkeys(near))})" if near else ""
    return (
        f"the stage {stage} of '{segment.code}' lacks the approval of {', '.join(missing)}{hint}; "
        f"`cdp segments approve {segment.code} --stage {stage} --role ROLE`"
    )
