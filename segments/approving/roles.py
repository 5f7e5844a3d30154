"""Roles of a workspace: ``roles.yml`` says which users of the operating system may decide what about segments, and see whom."""

from __future__ import annotations

import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lakehouse.errors import UsageError
from lakehouse.settings.optional_files import optional_file
from lakehouse.settings.yaml_files import did_you_mean, load_yaml, parse_model
from segments.language.conditions import TagLeaf, conjuncts
from segments.language.spec import Approvals, Segment

ROLES_FILE = "roles.yml"
Right = Literal["approve", "hold", "pause", "recall", "reveal"]


class Role(BaseModel):
    """One role: its users, what they may decide, and whether its approval is that of a second pair of eyes.

    With ``branches`` it decides about segments that keep to them, and is shown their people alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: Annotated[list[str], Field(min_length=1)]
    may: list[Right] = ["approve"]
    four_eyes: bool = True
    branches: list[Annotated[str, Field(min_length=1)]] = []

    @model_validator(mode="after")
    def _is_for_something(self) -> Role:
        if not self.may and not self.branches:
            raise ValueError("a role that may decide nothing has branches, whose people it sees")
        return self


class RolesFile(BaseModel):
    """``roles.yml`` as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Role] = {}
    every_segment: Approvals | None = None
    every_tag: Approvals | None = None
    branch_tag: str = "home_branch"

    @field_validator("every_tag")
    @classmethod
    def _of_roles(cls, value: Approvals | None) -> Approvals | None:
        if value is not None and value.external:
            raise ValueError("tags are approved by roles of this file; 'external' is for segments")
        return value


def read_roles(workspace: Path) -> RolesFile:
    """Give the roles of a workspace; without a ``roles.yml`` there are none."""
    file = workspace / ROLES_FILE
    return parse_model(RolesFile, load_yaml(file), file=file) if optional_file(file) else RolesFile()


def reveal_fault(roles: RolesFile, user: str) -> str | None:
    """Give why a user may not see identifiers unmasked; None where one of their roles may, or no role names that right."""
    names = sorted(name for name, role in roles.roles.items() if "reveal" in role.may)
    if not names or any(user in roles.roles[name].users for name in names):
        return None
    return f"the user '{user}' is in none of the roles of {ROLES_FILE} that may reveal: {', '.join(names)}"


def require_right(roles: RolesFile, name: str, user: str, right: Right) -> Role:
    """Give a role by which a user may decide something; an unknown role, a stranger or a missing right raises ``UsageError``."""
    role = roles.roles.get(name)
    if role is None:
        hint = did_you_mean(name, list(roles.roles)) or f"; write it into {ROLES_FILE}"
        raise UsageError(f"there is no role '{name}'{hint}")
    if user not in role.users:
        raise UsageError(
            f"the user '{user}' is not in the role '{name}' of {ROLES_FILE}; nothing was recorded"
        )
    if right not in role.may:
        raise UsageError(
            f"the role '{name}' may {', '.join(role.may) or 'decide nothing'}, not {right}; nothing was recorded"
        )
    return role


def authors_of(segment: Segment, roles: RolesFile) -> set[str]:
    """Give the users who count as authors of a segment; see ``authors_of_file``."""
    return authors_of_file(segment.file, (segment.spec.owner.business, segment.spec.owner.tech), roles)


def authors_of_file(file: Path, owners: Iterable[str], roles: RolesFile) -> set[str]:
    """Give the users who count as authors: who owns the file, and whom ``owner`` names, by user or by role."""
    authors = set()
    for name in owners:
        authors |= {name, *(roles.roles[name].users if name in roles.roles else ())}
    number = file.stat().st_uid
    try:
        authors.add(pwd.getpwuid(number).pw_name)
    except KeyError:
        authors.add(str(number))
    return authors


def branch_fault(segment: Segment, role: Role, branch_tag: str) -> str | None:
    """Say why a segment lies outside the branches of a role; None where the role has none or the segment keeps to them."""
    if not role.branches:
        return None
    values: set[str] | None = None
    for node in (*conjuncts(segment.base), *conjuncts(segment.where)):
        if isinstance(node, TagLeaf) and node.tag == branch_tag and node.include_unknown is not True:
            for test in node.tests:
                if test.operator in ("eq", "in"):
                    codes = {str(value) for value in test.operands()}
                    values = codes if values is None else values & codes
    if values is None or segment.include or segment.unknown == "include" or not values <= set(role.branches):
        return (
            f"the rule does not keep to the branches of the role: {branch_tag} in {', '.join(role.branches)}"
        )
    return None
