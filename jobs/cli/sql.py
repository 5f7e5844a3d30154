"""``cdp sql`` and ``cdp tables``: what is published, and questions to it."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

import click

from jobs.cli.options import as_of_option, format_option, workspace_option
from lakehouse.errors import UsageError


class _SqlCommand(click.Command):
    """A command whose text may begin with a comment of SQL, which looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move a text that begins with ``--`` and is no option behind the options."""
        if "--" not in args:
            texts = [a for a in args if a.startswith("--") and not re.fullmatch(r"--[a-z-]+(=.*)?", a)]
            if texts:
                args = [*(a for a in args if a not in texts), "--", *texts]
        return super().parse_args(ctx, args)


@click.command("sql", cls=_SqlCommand)
@click.argument("statement", required=False)
@click.option(
    "-f", "--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read STATEMENT from a file."
)  # fmt: skip
@click.option(
    "--export",
    "export",
    type=click.Path(path_type=Path),
    metavar="FILE.duckdb",
    help="Instead of an answer, write a DuckDB file with a view of every published table, for other tools.",
)
@click.option(
    "--reveal",
    metavar="REASON",
    help="Show identifiers unmasked; who, when, why and which tables are recorded in audit/reveals.jsonl.",
)
@format_option
@as_of_option
@workspace_option
def command(
    statement: str | None,
    file: Path | None,
    export: Path | None,
    reveal: str | None,
    form: str,
    as_of: date | None,
    workspace: Path | None,
) -> None:
    """Run STATEMENT over the published tables (`<database>.<table>`), without a JVM.

    One SELECT, DESCRIBE, SUMMARIZE or SHOW; `-` reads it from standard input. `cdp tables` lists the tables.
    """
    if export is not None:
        if statement is not None or file is not None:
            raise UsageError("--export writes all published tables; it takes no statement")
        _write_export(export, workspace, as_of, reveal, form)
        return
    from jobs.cli.printing import print_rows
    from jobs.report.statement import rows_of

    answer = rows_of(_text(statement, file), workspace, as_of, reveal=reveal)
    print_rows(answer.columns, answer.rows, form)
    if answer.masked:
        click.echo(f"(masked: {', '.join(answer.masked)}; --reveal REASON shows the values)", err=True)


def _write_export(
    file: Path, workspace: Path | None, as_of: date | None, reveal: str | None, form: str
) -> None:
    from jobs.cli.printing import print_document
    from jobs.report.export import export_lake
    from lakehouse.settings.settings import load_settings

    export = export_lake(load_settings(workspace), file, as_of, reveal=reveal)
    document = {
        "file": str(export.file),
        "business_date": export.business_date.isoformat(),
        "tables": export.tables,
        "masked_columns": len(export.masked),
    }
    sentence = f"wrote {export.file}: {export.tables} tables as published on {export.business_date}"
    print_document(document, [sentence], form)
    if export.masked:
        note = (
            f"(masked: {len(export.masked)} columns, as their comments say; --reveal REASON shows the values)"
        )
        click.echo(note, err=True)


def _text(statement: str | None, file: Path | None) -> str:
    """Give the statement from where the call says it is."""
    from lakehouse.settings.optional_files import require_ordinary

    if (statement is None) == (file is None):
        raise UsageError("say one statement: as an argument, by -f FILE, or with - from standard input")
    try:
        if file is not None:
            require_ordinary(file)
            return file.read_text(encoding="utf-8")
        if statement == "-":
            return sys.stdin.buffer.read().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError("the statement cannot be read as UTF-8 text", file=file) from None
    return statement or ""


@click.command("tables")
@click.argument("name", required=False)
@click.option("--search", metavar="WORD", help="Only tables in whose name, texts or columns WORD stands.")
@format_option
@as_of_option
@workspace_option
def tables(
    name: str | None, search: str | None, form: str, as_of: date | None, workspace: Path | None
) -> None:
    """List the published tables, or the columns of the table NAME (`<database>.<table>`)."""
    from jobs.cli.printing import print_rows
    from jobs.report.published_tables import columns_of, tables_of
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
