"""Whom a user is shown: the people of the branches that the user's roles name.

Advisory, as roles are: it holds for the commands that ask it, for whoever uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid
from lakehouse.query.words import identifier, literal, literals
from lakehouse.texts import text
from segments.approving.roles import ROLES_FILE, read_roles
from vocabulary.tag_facts import may_only_exclude

if TYPE_CHECKING:
    from lakehouse.query.published import Published

TAGS = "tags.customer_tags"
CATALOGUE = "tags.catalogue"


@dataclass(frozen=True)
class BranchScope:
    """The branches whose people a user is shown, told by a tag of the people."""

    user: str
    branches: tuple[str, ...]
    branch_tag: str
    file: Path

    @property
    def sentence(self) -> str:
        """Say of which branches people are shown to whom."""
        return f"{ROLES_FILE} lets {self.user} see people of {', '.join(self.branches)} only"

    def people_sql(self, published: Published) -> str:
        """Give the SQL of these people (one_id).

        A publication without the tag, or where it may only exclude, raises ``SettingsInvalid``, so that nobody is shown.
        """
        import pyarrow as pa

        has_tags = TAGS in published.publication.tables
        schema = published.arrow(f"SELECT * FROM {TAGS} LIMIT 0").schema if has_tags else pa.schema([])
        if self.branch_tag not in schema.names:
            raise SettingsInvalid(
                f"the branch_tag '{self.branch_tag}' is not in {TAGS} of the publication, so nobody can be shown to"
                f" '{self.user}', whose roles have branches",
                file=self.file,
            )
        if may_only_exclude(_purposes(published, self.branch_tag)):
            raise SettingsInvalid(
                f"the branch_tag '{self.branch_tag}' may only exclude, and who sees a branch would see it of everybody"
                " there; name a tag that may be shown",
                file=self.file,
            )
        column = identifier(self.branch_tag)
        codes = literals(self.branches)
        is_of_them = f"{column}::VARCHAR IN ({codes})"
        if pa.types.is_list(schema.field(self.branch_tag).type):
            is_of_them = f"list_has_any({column}::VARCHAR[], [{codes}])"
        return f"SELECT one_id FROM {TAGS} WHERE {is_of_them}"

    def has(self, published: Published, one_id: int) -> bool:
        """Tell whether a person, or the one it was merged into, is of these branches; who has no branch is not."""
        today = f"coalesce((SELECT to_one_id FROM identity.redirects WHERE from_one_id = {literal(one_id)} LIMIT 1), {literal(one_id)})"
        return bool(published.rows(f"SELECT 1 FROM ({self.people_sql(published)}) WHERE one_id = {today}"))


def _purposes(published: Published, tag: str) -> list[str]:
    if CATALOGUE not in published.publication.tables:
        return []
    rows = published.rows(f"SELECT purposes FROM {CATALOGUE} WHERE code = {literal(tag)}")
    return [purpose for (purposes,) in rows for purpose in purposes or ()]


def among_sql(scope: BranchScope | None, published: Published) -> str:
    """Give the SQL that a condition on ``one_id`` goes on with, so that only people whom a user is shown are left."""
    return "" if scope is None else f" AND one_id IN ({scope.people_sql(published)})"


def scope_notes(scope: BranchScope | None) -> list[str]:
    """Say beside people that others are not among them."""
    if scope is None:
        return []
    return [text("preview.branches", branches=", ".join(scope.branches), user=scope.user, file=ROLES_FILE)]


def branch_scope(workspace: Path, user: str) -> BranchScope | None:
    """Give the branches whose people a user is shown; None where these are all: no role has the user, or one without branches does."""
    file = read_roles(workspace)
    roles = [role for role in file.roles.values() if user in role.users]
    if not roles or not all(role.branches for role in roles):
        return None
    branches = sorted({branch for role in roles for branch in role.branches})
    return BranchScope(user, tuple(branches), file.branch_tag, workspace / ROLES_FILE)
