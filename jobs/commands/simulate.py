"""`cdp simulate` and `cdp simulate-receipts`: files of a bank whose truth is known, and an engine's answers."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import click

from jobs.options import DAY


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
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that gets inbox/ and truth/.",
)
def command(people: int, nights: int, seed: int, history_months: int, first: date, out: Path) -> None:
    """Write the simulated bank's files and its truth."""
    from simulator.bank import Plan, simulate

    plan = Plan(people=people, nights=nights, seed=seed, history_months=history_months, first=first)
    click.echo(json.dumps(simulate(plan, out)))


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
def receipts_command(published: Path, inbox: Path, business_date: date) -> None:
    """Answer published audiences as an engine would."""
    from simulator.engine import answer

    click.echo(json.dumps(answer(published, inbox, business_date).summary()))


if __name__ == "__main__":
    command()
