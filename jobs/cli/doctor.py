"""``cdp doctor``: what this machine lacks, and how to repair it."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import format_option, workspace_option

COLUMNS = ("is_good", "subject", "state", "repair")


@click.command("doctor")
@format_option
@workspace_option
def command(form: str, workspace: Path | None) -> int:
    """Check Java, Python, memory, disk, JARs and the workspace; say how to repair each. Exit 2 if one fails."""
    from jobs.cli.printing import print_rows
    from jobs.workspace.examine import examine

    requirements = list(examine(workspace))
    if form != "table":
        print_rows(
            COLUMNS,
            [(r.is_good, r.subject, r.state, "" if r.is_good else r.repair) for r in requirements],
            form,
        )
    for requirement in requirements if form == "table" else ():
        click.echo(
            f"{'good' if requirement.is_good else 'BAD '}  {requirement.subject:<10} {requirement.state}"
        )
        if not requirement.is_good:
            click.echo(f"      → {requirement.repair}")
    return 0 if all(requirement.is_good for requirement in requirements) else 2
