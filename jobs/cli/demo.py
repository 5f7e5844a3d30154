"""``cdp demo``: the simulated bank, night after night, with an engine that answers in between."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import workspace_option


@click.command("demo")
@click.option("--people", default=5000, show_default=True, type=click.IntRange(min=100))
@click.option("--nights", default=3, show_default=True, type=click.IntRange(min=1, max=31))
@click.option("--seed", default=7, show_default=True, type=int)
@click.option("--history-months", default=6, show_default=True, type=click.IntRange(min=0, max=60))
@workspace_option
def command(people: int, nights: int, seed: int, history_months: int, workspace: Path | None) -> int:
    """Simulate a bank into the workspace's inbox and run its nights in one process.

    Between two nights the simulated engine reads the published audiences and answers with receipts, which the
    next night ingests first. The last line on stdout is the JSON summary of the last night; running it again
    finds nothing to do.
    """
    from jobs.night.demo import run_demo
    from jobs.night.nightly import summary_line
    from lakehouse.settings.settings import load_settings

    night = run_demo(
        load_settings(workspace), people=people, nights=nights, seed=seed, history_months=history_months
    )
    click.echo(f"Look at {night.summary['report']}", err=True)
    click.echo(
        "and ask: .venv/bin/cdp sql --workspace examples/bank "
        '"select aum_tier, count(*) from tags.customer_tags group by 1"',
        err=True,
    )
    click.echo(summary_line(night))
    return 0
