"""``cdp init`` and ``cdp schema``: a workspace to start from, and the JSON Schemas of its files for editors."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from jobs.cli.options import workspace_option

EXAMPLES = ("minimal", "bank")
KINDS = ("cdp", "feed", "identity", "segment", "tags", "consent", "destinations")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--example",
    type=click.Choice(EXAMPLES),
    help="Begin with a feed, its file and a segment, or as the simulated bank of `cdp demo`.",
)
def init(folder: Path, example: str | None) -> None:
    """Make a workspace in DIR, a new or empty folder (a .git in it does not count)."""
    from jobs.workspace.make import make_workspace

    make_workspace(folder, example)
    click.echo(f"{folder} is a workspace. Next:")
    for step in _next_steps(example, folder):
        click.echo(f"  {step}")


def _next_steps(example: str | None, folder: Path) -> list[str]:
    enter = f"cd {shlex.quote(str(folder))}"
    advice = (
        "keep a copy of secrets/identity_key.key: without it nobody is recognised any more (git ignores it)"
    )
    if example == "bank":
        return [enter, "cdp doctor", "cdp demo --people 5000 --nights 3", advice]
    if example:
        return [enter, "cdp doctor", "cdp feeds check members", "cdp nightly --date 2026-01-05", advice]
    return [
        enter,
        "look at time_zone and currency in cdp.yml",
        "cdp doctor                        what this machine lacks",
        "cdp feeds draft FILE --write      a feed from a delivered file",
        advice,
    ]


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
def schema(kind: str | None, folder: Path | None, workspace: Path | None) -> None:
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
