"""``cdp sql``: DuckDB over the published tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from jobs.cli.options import as_of_option, format_option, workspace_option


@click.command("sql")
@click.argument("statement")
@format_option
@as_of_option
@workspace_option
def command(statement: str, form: str, as_of: date | None, workspace: Path | None) -> None:
    """Run STATEMENT over the published tables (`<database>.<table>`), without a JVM."""
    from jobs.cli.printing import print_rows
    from jobs.report.statement import rows_of

    answer = rows_of(statement, workspace, as_of)
    print_rows(answer.columns, answer.rows, form)
