"""``cdp fsck``: whether everything that is stored is what was published."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import format_option, workspace_option


@click.command("fsck")
@click.option(
    "--deep",
    is_flag=True,
    help="Also read every file: bytes, contracts, equations, audiences, earlier nights.",
)
@format_option
@workspace_option
def command(deep: bool, form: str, workspace: Path | None) -> int:
    """Check publications, files and audiences. Exit 1 with one sentence for each fault; nothing is changed.

    Run it while no writer works, and after a restore with --deep.
    """
    from jobs.cli.printing import print_rows
    from jobs.workspace.soundness import check_soundness
    from lakehouse.settings.settings import load_settings

    findings = check_soundness(load_settings(workspace), deep=deep)
    if form != "table":
        sentences = [("fault", text) for text in findings.faults] + [
            ("note", text) for text in findings.notes
        ]
        print_rows(("kind", "sentence"), sentences, form)
        return 1 if findings.faults else 0
    for fault in findings.faults:
        click.echo(f"fault: {fault}", err=True)
    for note in findings.notes:
        click.echo(f"note: {note}")
    subjects = ", ".join(f"{count} {subject}" for subject, count in findings.counts.items())
    click.echo(f"{subjects or 'nothing'} checked, {len(findings.faults)} faults")
    return 1 if findings.faults else 0
