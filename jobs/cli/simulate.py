"""``cdp simulate``, ``simulate-receipts`` and ``demo``: a bank whose truth is known, an engine's answers, its nights."""

from __future__ import annotations

import json
import shlex
from datetime import date
from pathlib import Path

import click

from jobs.cli.options import DAY, engine_option, workspace_option


@click.command("simulate")
@click.option(
    "--people", default=5_000, show_default=True, help="People the bank may know on the first night."
)
@click.option("--nights", default=3, show_default=True, help="Business dates to deliver.")
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--history-months",
    default=6,
    show_default=True,
    help="Months of balances, bookings and events before the first night.",
)
@click.option(
    "--from", "first", type=DAY, default=date(2026, 11, 18), show_default=True, help="First business date."
)
@click.option(
    "--mess",
    type=click.Choice(["light", "default", "heavy"]),
    default="default",
    show_default=True,
    help="How untidy the bank is.",
)
@click.option(
    "--rates",
    "rates_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML of single rates (name: share) that change the mess; docs/simulator.md lists them.",
)
@click.option(
    "--faults/--no-faults",
    default=False,
    show_default=True,
    help="Make files of the last night unusable as a whole; a night refuses each and warns.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that gets inbox/ and truth/.",
)
def command(
    people: int, nights: int, seed: int, history_months: int, first: date, mess: str, rates_file: Path | None, faults: bool, out: Path
) -> None:  # fmt: skip
    """Write the simulated bank's files and its truth."""
    from simulator.channels.faults import spoil
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan
    from simulator.world.rates import rates_of

    plan = BankPlan(
        people=people, nights=nights, seed=seed, history_months=history_months, first=first,
        rates=rates_of(mess, rates_file),
    )  # fmt: skip
    counts = simulate(plan, out)
    if faults:
        counts["faults"] = spoil(out, plan.business_date(nights - 1))
    click.echo(json.dumps(counts))


@click.command("simulate-receipts")
@click.option(
    "--published",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Root of the published audiences.",
)
@click.option(
    "--inbox",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The inbox that gets the receipts.",
)
@click.option(
    "--date",
    "business_date",
    type=DAY,
    required=True,
    help="Business date of the audiences; receipts are of the day after.",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace that published: its recipients also buy in the app, by the known effect of each channel.",
)
def receipts_command(published: Path, inbox: Path, business_date: date, workspace: Path | None) -> None:
    """Answer published audiences as an engine would."""
    from simulator.engine import answer

    if workspace is None:
        click.echo(json.dumps(answer(published, inbox, business_date).summary()))
        return
    from jobs.night.demo import app_users_of_recipients
    from lakehouse.settings.settings import load_settings

    settings = load_settings(workspace)
    users = app_users_of_recipients(settings, business_date)
    answers = answer(published, inbox, business_date, users=users, truth=settings.workspace / "truth")
    click.echo(json.dumps(answers.summary()))


@click.command("demo")
@click.option("--people", default=5000, show_default=True, type=click.IntRange(min=100))
@click.option("--nights", default=3, show_default=True, type=click.IntRange(min=1, max=31))
@click.option("--seed", default=7, show_default=True, type=int)
@click.option("--history-months", default=6, show_default=True, type=click.IntRange(min=0, max=60))
@engine_option(
    help="Then run the same nights by this engine in a twin of the workspace, and compare every table."
)
@workspace_option
def demo(
    people: int, nights: int, seed: int, history_months: int, engine: str | None, workspace: Path | None
) -> int:
    """Simulate a bank into the workspace's inbox and run its nights in one process.

    Between two nights the simulated engine reads the published audiences and answers with receipts, which the
    next night ingests first. The last line on stdout is the JSON summary of the last night; running it again
    finds nothing to do.
    """
    from jobs.night.demo import run_demo
    from jobs.night.nightly import summary_line
    from lakehouse.errors import UsageError
    from lakehouse.settings.settings import load_settings

    if workspace is not None and not workspace.exists():
        place = shlex.quote(str(workspace))
        raise UsageError(
            f"the workspace folder {workspace} does not exist; make one with the simulated bank by "
            f"`cdp init --example bank {place}`"
        )
    settings = load_settings(workspace)
    night = run_demo(settings, people=people, nights=nights, seed=seed, history_months=history_months)
    click.echo(f"Look at {night.summary['report']}", err=True)
    click.echo(
        f"and ask: cdp sql --workspace {shlex.quote(str(settings.workspace))} "
        '"select aum_tier, count(*) from tags.customer_tags group by 1"',
        err=True,
    )
    click.echo(summary_line(night))
    if engine is None:
        return 0
    from jobs.night.twin import run_twin

    twins = run_twin(settings, engine)
    click.echo(twins.sentence(), err=True)
    return 1 if twins.differing else 0
