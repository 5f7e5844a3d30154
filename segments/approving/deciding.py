"""Deciding about segments: each function checks who asks and what for, and records one decision more; user errors record nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean
from segments.approving.decisions import Action, Decision, add_decision, begin_record, of_segment
from segments.approving.roles import (
    Right,
    Role,
    RolesFile,
    authors_of,
    branch_fault,
    read_roles,
    require_right,
)
from segments.approving.standing import (
    ENDS,
    Standing,
    open_stops,
    read_authority,
    standings,
)
from segments.language.catalogue import Catalogue
from segments.language.spec import STAGES, Segment, Stage

RIGHT_OF: dict[Action, tuple[Right, ...]] = {
    "approve": ("approve",), "revoke": ("approve",), "hold": ("hold",), "pause": ("pause",), "recall": ("recall",),
    "release": ("hold", "recall"), "resume": ("pause",), "begin": ("hold",),
}  # fmt: skip


@dataclass(frozen=True)
class Decider:
    """Who decides, in which role, and when."""

    user: str
    role: str
    at: datetime


def approve(
    settings: Settings,
    catalogue: Catalogue,
    code: str,
    stage: Stage,
    decider: Decider,
    *,
    until: date | None = None,
    note: str | None = None,
) -> Decision:
    """Record that a role approves a segment, as it is now, for a stage and those below, until a day if one is given."""
    authority = read_authority(settings)
    segment = catalogue.segment(code)
    role = require_right(authority.roles, decider.role, decider.user, "approve")
    _require_asked(segment, decider.role, authority.roles)
    _require_sound(segment, catalogue)
    today = decider.at.astimezone(settings.zone).date()
    if until is not None and until < today:
        raise UsageError(f"{until} is over; the last day of an approval is today or later")
    if stage == "whitelist" and segment.spec.rollout.whitelist is None:
        raise UsageError(f"'{code}' has no whitelist, so that stage has nobody")
    if fault := branch_fault(segment, role, authority.roles.branch_tag):
        raise UsageError(f"'{code}': {fault}; nothing was recorded")
    standing = standings(catalogue.segments, authority, today)[code]
    _require_second_eyes(segment, standing, role, decider, authority.roles)
    for one in standing.approvals:
        is_same = one.fault is None and (one.by, one.user, one.until) == (decider.role, decider.user, until)
        if is_same and STAGES.index(one.stage) >= STAGES.index(stage):
            raise UsageError(f"'{code}' has this approval already ({one.approval_id}); nothing was recorded")
    return _record(
        settings, "approve", code, segment, decider, note, basis=standing.basis, stage=stage, until=until
    )


def revoke(
    settings: Settings,
    catalogue: Catalogue,
    code: str,
    decider: Decider,
    *,
    approval_id: str | None = None,
    note: str | None = None,
) -> list[Decision]:
    """Record that a role takes back its approvals of a segment, or the one of an id."""
    authority = read_authority(settings)
    require_right(authority.roles, decider.role, decider.user, "approve")
    decisions = of_segment(authority.log.decisions, code)
    revoked = {decision.revokes for decision in decisions}
    approval_ids = [
        one.decision_id
        for one in decisions
        if one.action == "approve" and one.role == decider.role and one.decision_id not in revoked
        and approval_id in (None, one.decision_id)
    ]  # fmt: skip
    if not approval_ids:
        which = f" {approval_id}" if approval_id else ""
        raise UsageError(
            f"'{code}' has no approval{which} of the role '{decider.role}' to revoke; nothing was recorded"
        )
    segment = _known_segment(catalogue, code)
    return [_record(settings, "revoke", code, segment, decider, note, revokes=one) for one in approval_ids]


def stop(
    settings: Settings,
    catalogue: Catalogue,
    action: Action,
    code: str,
    decider: Decider,
    *,
    note: str | None = None,
    delivered_codes: Collection[str] = (),
) -> Decision:
    """Record a hold, pause or recall, or what ends it.

    A segment whose file is faulty can be stopped too, and recalled one whose file is gone, by ``delivered_codes``.
    """
    authority = read_authority(settings)
    rights = RIGHT_OF[action]
    role = authority.roles.roles.get(decider.role)
    rights_at_hand = [right for right in rights if role is not None and right in role.may]
    require_right(
        authority.roles, decider.role, decider.user, rights_at_hand[0] if rights_at_hand else rights[0]
    )
    codes = {file.stem for file in files_in(catalogue.site.workspace / "segments", "*.yml")} | set(
        delivered_codes
    )
    decisions = of_segment(authority.log.decisions, code)
    if code not in codes and not decisions:
        raise UsageError(f"there is no segment '{code}'{did_you_mean(code, sorted(codes))}")
    standing = {one.action for one in open_stops(decisions) if one.role == decider.role}
    if action in ENDS and action in standing:
        raise UsageError(
            f"'{code}' has a {action} of the role '{decider.role}' already; nothing was recorded"
        )
    if action not in ENDS and not any(ENDS.get(one) == action for one in standing):
        others = sorted({one.role for one in open_stops(decisions) if ENDS[one.action] == action})
        hint = f"; only {', '.join(others)} can {action} it" if others else ""
        raise UsageError(
            f"'{code}' has nothing of the role '{decider.role}' to {action}{hint}; nothing was recorded"
        )
    return _record(settings, action, code, _known_segment(catalogue, code), decider, note)


def begin_anew(
    settings: Settings, decider: Decider, note: str, mark: Mapping[str, Any] | None
) -> tuple[Decision, Path | None]:
    """Begin the record of decisions anew where it is lost for good; every approval, hold, pause and recall before it counts no more.

    A role that may hold decides that. ``mark`` is what the newest published night says of the record. Give the decision, and where the older record lies now.
    """
    require_right(read_roles(settings.workspace), decider.role, decider.user, "hold")
    entry = {"decided_at": decider.at, "user": decider.user, "role": decider.role, "note": note}
    return begin_record(settings, entry, mark)


def _record(
    settings: Settings,
    action: Action,
    code: str,
    segment: Segment | None,
    decider: Decider,
    note: str | None,
    **more: object,
) -> Decision:
    about = (
        {} if segment is None else {"version": segment.version, "definition_hash": segment.definition_hash}
    )
    entry = {
        "decided_at": decider.at,
        "user": decider.user,
        "role": decider.role,
        "action": action,
        "code": code,
    }
    return add_decision(settings, {**entry, **about, "note": note, **more})


def _known_segment(catalogue: Catalogue, code: str) -> Segment | None:
    return next((segment for segment in catalogue.segments if segment.code == code), None)


def _require_asked(segment: Segment, name: str, roles: RolesFile) -> None:
    names: list[str] = []
    for rules in (segment.spec.approvals, roles.every_segment):
        names += rules.roles if rules is not None else []
    if name not in names:
        whom = f"only {', '.join(dict.fromkeys(names))}" if names else "no role"
        raise UsageError(f"'{segment.code}' asks {whom} for an approval, not '{name}'; nothing was recorded")


def _require_sound(segment: Segment, catalogue: Catalogue) -> None:
    for finding in catalogue.findings():
        if finding.file == segment.file and not finding.is_warning:
            raise SettingsInvalid(
                f"{finding.code} {finding.message}; a segment with a fault cannot be approved",
                file=finding.file,
                line=finding.line,
            )


def _require_second_eyes(
    segment: Segment, standing: Standing, role: Role, decider: Decider, roles: RolesFile
) -> None:
    if role.four_eyes and decider.user in authors_of(segment, roles):
        raise UsageError(
            f"the user '{decider.user}' is an author of '{segment.code}' (owner of the file, or named by owner), and the role "
            f"'{decider.role}' asks for four eyes; nothing was recorded"
        )
    for one in standing.approvals:
        other = roles.roles.get(one.by)
        is_own = one.fault is None and one.user == decider.user and one.by != decider.role
        if is_own and (role.four_eyes or other is None or other.four_eyes):
            raise UsageError(
                f"the user '{decider.user}' approved '{segment.code}' as {one.by} already, and four eyes are asked for; "
                "nothing was recorded"
            )
