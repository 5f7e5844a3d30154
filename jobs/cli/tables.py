"""``cdp tables``: what is published, table by table and column by column."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from jobs.cli.options import as_of_option, format_option, workspace_option


@click.command("tables")
@click.argument("name", required=False)
@click.option("--search", metavar="WORD", help="Only tables in whose name, texts or columns WORD stands.")
@format_option
@as_of_option
@workspace_option
def command(
    name: str | None, search: str | None, form: str, as_of: date | None, workspace: Path | None
) -> None:
    """List the published tables, or the columns of the table NAME (`<database>.<table>`)."""
    from jobs.cli.printing import print_rows
    from jobs.report.published_tables import columns_of, tables_of
    from lakehouse.errors import UsageError
    from lakehouse.query.published import require_publication
    from lakehouse.settings.settings import load_settings

    if name is not None and search is not None:
        raise UsageError("say either a table or --search WORD")
    settings = load_settings(workspace)
    publication = require_publication(settings, as_of)
    if name is None:
        listing = tables_of(settings, publication, search)
    else:
        listing = columns_of(settings, publication, name)
    print_rows(listing.columns, listing.rows, form)
