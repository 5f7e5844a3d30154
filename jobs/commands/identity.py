"""``cdp identity``: resolve a date, show a person, measure against known truth."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import click

from jobs.options import DAY, workspace_option


@click.group("identity")
def group() -> None:
    """Resolve, show and evaluate OneIDs."""


@group.command("run")
@click.option("--date", "business_date", type=DAY, required=True, help="The business date D.")
@workspace_option
def run(business_date: date, workspace: Path | None) -> int:
    """Run only the identity step; nothing becomes visible before the night is published."""
    from jobs.single import run_single
    from lakehouse.settings import load_settings

    click.echo(run_single(load_settings(workspace), "resolve", business_date))
    return 0


@group.command("show")
@click.argument("one_id", type=int, required=False)
@click.option("--identifier", metavar="NAMESPACE=VALUE", help="The person that carries this identifier.")
@click.option("--profile", metavar="SOURCE/KEY", help="The person this record belongs to.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--as-of", type=DAY, default=None, help="Read the publication of this business date.")
@workspace_option
def show(
    one_id: int | None,
    identifier: str | None,
    profile: str | None,
    as_json: bool,
    as_of: date | None,
    workspace: Path | None,
) -> None:
    """Show a person's profiles, links and history; values are masked. Needs no JVM.

    Name the person by ONE_ID, by --identifier or by --profile.
    """
    from identity.show import describe, find_one_id, show_person
    from lakehouse.errors import UsageError
    from lakehouse.published import open_published
    from lakehouse.settings import load_settings

    if sum(given is not None for given in (one_id, identifier, profile)) != 1:
        raise UsageError("name one person: a OneID, --identifier NAMESPACE=VALUE or --profile SOURCE/KEY")
    published = open_published(load_settings(workspace), as_of)
    if one_id is None:
        one_id = find_one_id(published, identifier=identifier, profile=profile)
    person = show_person(published, one_id)
    click.echo(
        json.dumps(person.summary(), ensure_ascii=False, default=str)
        if as_json
        else "\n".join(describe(person))
    )


@group.command("evaluate")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    default=None,
    help="CSV with source, source_key, person (default: `truth` of cdp.yml).",
)
@click.option("--allow-missing", is_flag=True, help="Leave out truth about profiles that are not in the map.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Also write the JSON here."
)
@click.option("--as-of", type=DAY, default=None, help="Read the publication of this business date.")
@workspace_option
def evaluate(
    truth: Path | None, allow_missing: bool, out: Path | None, as_of: date | None, workspace: Path | None
) -> None:
    """Measure the published map against known truth; the last line is a JSON object. Needs no JVM."""
    import pyarrow as pa

    from identity.evaluate import evaluate as measured
    from lakehouse.errors import UsageError
    from lakehouse.published import open_published
    from lakehouse.settings import load_settings

    settings = load_settings(workspace)
    truth = truth or settings.truth
    if truth is None:
        raise UsageError("there is no truth to measure against: name one with --truth FILE or in cdp.yml")
    published = open_published(settings, as_of)
    statement = "SELECT source, source_key, one_id FROM identity.memberships WHERE valid_to IS NULL"
    rows = pa.table(published.sql(statement).fetchnumpy())
    numbers = measured(rows, truth, allow_missing=allow_missing).summary()
    for name, value in numbers.items():
        click.echo(f"{name.replace('_', ' '):<24}{value:>14}", err=False)
    line = json.dumps({"date": str(published.publication.business_date), **numbers})
    if out is not None:
        out.write_text(line + "\n", encoding="utf-8")
    click.echo(line)
