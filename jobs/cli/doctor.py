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

    findings = list(examine(workspace))
    for finding in findings:
        click.echo(f"{'good' if finding.is_good else 'BAD '}  {finding.subject:<10} {finding.state}")
        if not finding.is_good:
            click.echo(f"      → {finding.repair}")
    return 0 if all(finding.is_good for finding in findings) else 2
