"""``cdp plan``: what a changed workspace would move, before it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import workspace_option

MOVING = 3


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
def command(
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
        plan = plan_folder_change(settings, folder, people=most, run_models=run_models)
    elif revision is not None:
        plan = plan_revision_change(settings, revision, people=most, run_models=run_models)
    else:
        plan = plan_own_change(settings, people=most)
    if plan.one_ids:
        record_lookup(settings, "plan", require_publication(settings), plan.one_ids)
    if form == "markdown":
        click.echo("\n".join(markdown(plan)))
    else:
        print_document(plan.summary(), describe(plan), form)
    return MOVING if plan.refusal or (fail_on_change and plan.is_moving) else 0
