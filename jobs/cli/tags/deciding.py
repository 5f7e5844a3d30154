"""``cdp tags approve``, ``revoke`` and ``approvals``: decisions about a site's own tags, recorded in audit/segments.jsonl. No JVM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import complete_tags, format_option, workspace_option

if TYPE_CHECKING:
    from segments.approving.deciding import Decider

_names = click.argument(
    "names", metavar="CODE|NAME...", nargs=-1, required=True, shell_complete=complete_tags
)
_role = click.option("--role", required=True, help="The role of roles.yml in which you decide.")
_note = click.option("--note", default=None, help="What you want to say beside it.")


@click.command("approve")
@_names
@_role
@_note
@workspace_option
def approve(names: tuple[str, ...], role: str, note: str | None, workspace: Path | None) -> None:
    """Approve tags of the workspace as they are now; any edit of one asks for a new approval, a change of its status does not."""
    from jobs.workspace.tag_approvals import approve_tag
    from lakehouse.settings.settings import load_settings

    settings = load_settings(workspace)
    for name in names:
        one = approve_tag(settings, name, _decider(role), note)
        code = one.code.partition(":")[2]
        click.echo(f"{code} {one.version} is approved by {role} ({one.user}), approval {one.decision_id}")


@click.command("revoke")
@_names
@_role
@_note
@workspace_option
def revoke(names: tuple[str, ...], role: str, note: str | None, workspace: Path | None) -> None:
    """Take back the approvals a role gave for tags; the next night does not begin while a computed tag lacks one."""
    from jobs.workspace.tag_approvals import revoke_tag
    from lakehouse.settings.settings import load_settings

    settings = load_settings(workspace)
    for name in names:
        for one in revoke_tag(settings, name, _decider(role), note):
            click.echo(
                f"approval {one.revokes} of {role} for {one.code.partition(':')[2]} is revoked ({one.user})"
            )


@click.command("approvals")
@format_option
@workspace_option
def approvals(form: str, workspace: Path | None) -> None:
    """List where the workspace's own tags stand that are in review or computed: whose approvals count and whose are missing."""
    from jobs.cli.printing import print_rows
    from jobs.workspace.tag_approvals import tag_standings
    from lakehouse.settings.settings import load_settings
    from tags.catalogue import owners

    rows = [
        (
            s.entry.code, s.entry.version, s.entry.status, owners(s.entry)[0], ", ".join(s.authors), s.definition_hash[:16],
            ", ".join(f"{a.by} ({a.user})" for a in s.approvals if a.fault is None), ", ".join(s.missing),
        )
        for s in tag_standings(load_settings(workspace))
    ]  # fmt: skip
    print_rows(
        ("code", "version", "status", "owner", "authors", "definition", "approved_by", "missing"), rows, form
    )


def _decider(role: str) -> Decider:
    from jobs.report.reveals import operating_user
    from lakehouse.clock import now
    from segments.approving.deciding import Decider

    return Decider(operating_user(), role, now().replace(microsecond=0))


COMMANDS = (approve, revoke, approvals)
