"""Approvals of a site's own tags: asked for by ``every_tag`` of ``roles.yml``, given for a definition, recorded with those of segments.

Roles, four eyes, the record and its signatures are those of segments (``segments.approving``); in the record a tag is called
``tag:<code>``, which no segment can be. An approval is for the hash of a definition: any edit asks for a new one, a change of
``status`` does not, so a tag is approved while it is in review.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.approving.deciding import Decider
    from segments.approving.decisions import Decision
    from segments.approving.roles import RolesFile
    from segments.approving.standing import Approval
    from vocabulary.registry import Entry, Registry

PREFIX = "tag:"
ASKED = ("review", "online", "deprecated")
STAGE = "full"


@dataclass(frozen=True)
class TagStanding:
    """Where a tag of the site stands: its definition's hash, its authors now, every approval given for it, and whose are missing."""

    entry: Entry
    definition_hash: str
    authors: tuple[str, ...]
    approvals: tuple[Approval, ...]
    missing: tuple[str, ...]


def tag_standings(settings: Settings) -> list[TagStanding]:
    """Give where every tag stands that the site wrote or changed and that is in review or computed, in registry order."""
    from segments.approving.roles import read_roles

    return _standings(settings, _registry(settings), read_roles(settings.workspace))


def require_approved_tags(settings: Settings) -> None:
    """Raise ``SettingsInvalid``, with file and line, for the first computed tag of the site that lacks approvals; where none are asked for, none does."""
    from segments.approving.roles import read_roles

    roles = read_roles(settings.workspace)
    if roles.every_tag is None:
        return
    registry = _registry(settings)
    for standing in _standings(settings, registry, roles):
        if standing.missing and standing.entry.status != "review":
            code = standing.entry.code
            near = dict.fromkeys(f"{a.by}: {a.fault}" for a in standing.approvals if a.fault)
            hint = f" ({'; '.join(near)})" if near else ""
            raise registry.fault(
                code,
                f"the tag '{code}' is {standing.entry.status} and lacks the approval of {', '.join(standing.missing)}{hint}; "
                f"`cdp tags approve {code} --role ROLE`, or `status: review` until then",
                "version",
            )


def approve_tag(settings: Settings, name: str, decider: Decider, note: str | None = None) -> Decision:
    """Record that a role approves a tag of the site as it is now; what may not be raises ``UsageError`` and records nothing."""
    from segments.approving.decisions import add_decision
    from segments.approving.roles import authors_of_file, read_roles, require_right
    from tags.catalogue import owners

    roles = read_roles(settings.workspace)
    role = require_right(roles, decider.role, decider.user, "approve")
    registry = _registry(settings)
    entry = registry.entry_of(name)
    names = roles.every_tag.roles if roles.every_tag is not None else []
    if decider.role not in names:
        whom = f"only {', '.join(names)}" if names else "no role (every_tag of roles.yml)"
        raise UsageError(f"tags ask {whom} for an approval, not '{decider.role}'; nothing was recorded")
    standing = next((s for s in _standings(settings, registry, roles) if s.entry.code == entry.code), None)
    if standing is None:
        what = (
            f"is {entry.status}"
            if entry.code in registry.site
            else "is the product's, and this site did not change it"
        )
        raise UsageError(f"the tag '{entry.code}' {what}; nothing was recorded")
    _require_sound(settings, registry, entry)
    authors = authors_of_file(registry.places[entry.code].file, owners(entry), roles)
    if role.four_eyes and decider.user in authors:
        raise UsageError(
            f"the user '{decider.user}' is an author of '{entry.code}' (owner of the file, or named by owner), and the role "
            f"'{decider.role}' asks for four eyes; nothing was recorded"
        )
    for one in standing.approvals:
        if one.fault is None and one.by == decider.role:
            raise UsageError(
                f"'{entry.code}' has this approval already ({one.approval_id}); nothing was recorded"
            )
        other = roles.roles.get(one.by)
        if (
            one.fault is None
            and one.user == decider.user
            and (role.four_eyes or other is None or other.four_eyes)
        ):
            raise UsageError(
                f"the user '{decider.user}' approved '{entry.code}' as {one.by} already, and four eyes are asked for; nothing was recorded"
            )
    about = {
        "version": entry.version,
        "definition_hash": standing.definition_hash,
        "authors": sorted(authors),
        "basis": standing.definition_hash,
    }
    return add_decision(settings, {**_entry(decider, "approve", entry.code, note), **about, "stage": STAGE})


def revoke_tag(settings: Settings, name: str, decider: Decider, note: str | None = None) -> list[Decision]:
    """Record that a role takes back its approvals of a tag; without any, ``UsageError``."""
    from segments.approving.decisions import add_decision, of_segment, read_log
    from segments.approving.roles import read_roles, require_right

    require_right(read_roles(settings.workspace), decider.role, decider.user, "approve")
    code = _registry(settings).entry_of(name).code
    decisions = of_segment(read_log(settings).decisions, PREFIX + code)
    revoked_ids = {one.revokes for one in decisions}
    approval_ids = [
        one.decision_id
        for one in decisions
        if one.action == "approve" and one.role == decider.role and one.decision_id not in revoked_ids
    ]
    if not approval_ids:
        raise UsageError(
            f"'{code}' has no approval of the role '{decider.role}' to revoke; nothing was recorded"
        )
    return [
        add_decision(settings, {**_entry(decider, "revoke", code, note), "revokes": one})
        for one in approval_ids
    ]


def _entry(decider: Decider, action: str, code: str, note: str | None) -> dict[str, object]:
    return {
        "decided_at": decider.at, "user": decider.user, "role": decider.role, "action": action, "code": PREFIX + code, "note": note,
    }  # fmt: skip


def _registry(settings: Settings) -> Registry:
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    return load_registry(settings.workspace, shipped=REGISTRY)


def _standings(settings: Settings, registry: Registry, roles: RolesFile) -> list[TagStanding]:
    from segments.approving.decisions import of_segment, read_log
    from segments.approving.roles import authors_of_file
    from segments.approving.standing import counting_approvals
    from tags.catalogue import owners
    from tags.definitions import definition_of

    decisions = read_log(settings).decisions
    standings = []
    for entry in registry.entries.values():
        if entry.code not in registry.site or entry.status not in ASKED:
            continue
        digest = definition_of(entry).definition_hash
        approvals = _approvals(of_segment(decisions, PREFIX + entry.code), digest)
        _, missing = counting_approvals([roles.every_tag], approvals, roles)
        authors = sorted(authors_of_file(registry.places[entry.code].file, owners(entry), roles))
        standings.append(TagStanding(entry, digest, tuple(authors), approvals, tuple(missing)))
    return standings


def _approvals(decisions: Sequence[Decision], digest: str) -> tuple[Approval, ...]:
    from segments.approving.standing import Approval

    revoked_ids = {one.revokes for one in decisions if one.action == "revoke"}
    approvals = []
    for one in decisions:
        if one.action == "approve":
            fault = "revoked" if one.decision_id in revoked_ids else None
            if one.definition_hash != digest:
                fault = fault or "for another definition"
            approvals.append(
                Approval(one.role, STAGE, one.basis, one.definition_hash, one.version, one.user, one.decided_at, None, one.decision_id, fault)
            )  # fmt: skip
    return tuple(approvals)


def _require_sound(settings: Settings, registry: Registry, entry: Entry) -> None:
    """Raise the fault of the workspace's tags where there is one; of one in review, as if it were online."""
    from dataclasses import replace

    from tags.compile.compilation import compile_registry
    from tags.definitions import published_definitions, require_versions

    online = entry.model_copy(update={"status": "online"}) if entry.status == "review" else entry
    whole = replace(registry, entries={**registry.entries, entry.code: online})
    compile_registry(whole, settings.workspace)
    require_versions(whole, published_definitions(settings))
