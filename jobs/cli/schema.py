"""``cdp schema``: JSON Schemas of the workspace's files, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import workspace_option

KINDS = ("cdp", "feed", "identity", "segment", "tags", "consent", "destinations")


@click.command("schema")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    is_flag=False,
    flag_value=".",
    help="Write all into this folder (without a name: .cdp-schema of the workspace).",
)
@workspace_option
def command(kind: str | None, folder: Path | None, workspace: Path | None) -> None:
    """Print the JSON Schema of one KIND of file, or write all with --write.

    An editor with a YAML language server reads them by the first line of drafted files; they complete keys, tables
    and columns and underline what is wrong while typing.
    """
    from jobs.report.schemas import FOLDER, schema_files, write_schemas
    from lakehouse.errors import UsageError
    from lakehouse.settings.settings import find_workspace

    if folder is None:
        if kind is None:
            raise UsageError(f"name a kind ({', '.join(KINDS)}), or write all of them with --write")
        click.echo(schema_files()[f"{kind}.json"], nl=False)
        return
    into = find_workspace(workspace) / FOLDER if str(folder) == "." else folder
    files = write_schemas(into)
    click.echo(f"{len(files)} schemas in {into}: {', '.join(file.name for file in files)}")
