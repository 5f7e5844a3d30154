"""``cdp init``, ``cdp schema`` and ``cdp plan``: a workspace to start from, the JSON Schemas of its files, what a changed one would move."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from jobs.cli.options import workspace_option

EXAMPLES = ("minimal", "bank")
_REFUSED = 3
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


@click.command("plan")
@click.argument(
    "folder", metavar="[WORKSPACE_FOLDER]", required=False, type=click.Path(path_type=Path, file_okay=False)
)
@click.option(
    "--git", "revision", metavar="REVISION", help="The workspace as it is at this revision of its repository."
)
@click.option(
    "--people",
    type=click.IntRange(0, 100),
    default=None,
    help="Show so many people of each tag and audience that moves (default: 3; none in Markdown); recorded in audit/lookups.jsonl.",
)
@click.option(
    "--run-models", is_flag=True, help="Run changed dbt models of another workspace: they are code."
)
@click.option("--fail-on-change", is_flag=True, help="End with 3 where anybody or anything moves.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="For people, as CSV, as one JSON object, or as a Markdown comment for a review.",
)
@workspace_option
def plan(
    folder: Path | None,
    revision: str | None,
    people: int | None,
    run_models: bool,
    fail_on_change: bool,
    form: str,
    workspace: Path | None,
) -> int:
    """Show what a changed workspace would move: people, tags, audiences and publications. Changes nothing, sends nothing.

    The changed workspace is another folder, a revision of the repository, or, without either, what is changed since the last
    commit. It is computed on a clone of what is published. Exit 3 where a gate would refuse the night, else 0.
    """
    from jobs.cli.printing import print_document
    from jobs.planning.plan import plan_folder_change, plan_own_change, plan_revision_change
    from jobs.planning.wording import describe, markdown
    from jobs.report.reveals import record_lookup
    from lakehouse.errors import UsageError
    from lakehouse.query.published import require_publication
    from lakehouse.settings.settings import load_settings

    if folder is not None and revision is not None:
        raise UsageError("name a folder or --git REVISION, not both")
    settings = load_settings(workspace)
    most = people if people is not None else 0 if form == "markdown" else 3
    if folder is not None:
        changes = plan_folder_change(settings, folder, people=most, run_models=run_models)
    elif revision is not None:
        changes = plan_revision_change(settings, revision, people=most, run_models=run_models)
    else:
        changes = plan_own_change(settings, people=most)
    if changes.one_ids:
        record_lookup(settings, "plan", require_publication(settings), changes.one_ids)
    if form == "markdown":
        click.echo("\n".join(markdown(changes)))
    else:
        print_document(changes.summary(), describe(changes), form)
    return _REFUSED if changes.refusal or (fail_on_change and changes.is_moving) else 0
