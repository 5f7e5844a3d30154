"""``cdp doctor``: what this machine lacks, and how to repair it."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import workspace_option


@click.command("doctor")
@workspace_option
def command(workspace: Path | None) -> int:
    """Check Java, Python, memory, disk, JARs and the workspace; say how to repair each. Exit 2 if one fails."""
    from jobs.workspace.examine import examine

    requirements = list(examine(workspace))
    for requirement in requirements:
        click.echo(
            f"{'good' if requirement.is_good else 'BAD '}  {requirement.subject:<10} {requirement.state}"
        )
        if not requirement.is_good:
            click.echo(f"      → {requirement.repair}")
    return 0 if all(requirement.is_good for requirement in requirements) else 2
