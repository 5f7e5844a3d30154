"""``cdp sql``: DuckDB over the published tables."""

from __future__ import annotations

import csv
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from jobs.cli.options import DAY, workspace_option


@click.command("sql")
@click.argument("statement")
@click.option(
    "--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
@click.option("--as-of", type=DAY, default=None, help="Read the publication of this business date.")
@workspace_option
def command(statement: str, shape: str, as_of: date | None, workspace: Path | None) -> None:
    """Run STATEMENT over the published tables (`<database>.<table>`), without a JVM."""
    import duckdb

    from lakehouse.errors import UsageError
    from lakehouse.query.published import named_tables, newest_publication, open_publication
    from lakehouse.settings.settings import load_settings

    try:
        if not named_tables(statement):
            result = duckdb.connect().execute(statement)
        else:
            settings = load_settings(workspace)
            if as_of is None and newest_publication(settings) is None:
                raise UsageError(
                    f"nothing was published yet in {settings.workspace}; run `cdp nightly --date D` first"
                )
            result = open_publication(settings, as_of).sql(statement)
    except duckdb.Error as wrong:
        raise UsageError(f"the SQL failed: {str(wrong).splitlines()[0]}") from None
    names = [column[0] for column in result.description or []]
    print_rows(names, result.fetchall(), shape)


def print_rows(names: list[str], rows: list[tuple[Any, ...]], shape: str) -> None:
    """Print rows as a table, as CSV, or as one JSON object a line."""
    if shape == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str))
        return
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if shape == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(texts)
        return
    widths = [max(map(_width, [name, *(row[at] for row in texts)])) for at, name in enumerate(names)]
    for line in [names, ["-" * width for width in widths], *texts]:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'})", err=True)


def _width(text: str) -> int:
    """Give the number of terminal cells; Chinese characters take two."""
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)
