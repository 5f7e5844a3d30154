"""``python -m benchmarks``: run all benchmarks, or those named by ``--only``, and write the results."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import click

from benchmarks import pages
from benchmarks.machine import machine_facts
from lakehouse.clock import now

# The names of benchmarks and of their results, and the modules that measure.
BENCHMARKS = {
    "connected_components": "benchmarks.components.connected_components",
    "component_engines": "benchmarks.components.component_engines",
    "component_engines_spark": "benchmarks.components.component_engines_spark",
    "component_engines_largest": "benchmarks.components.component_engines_largest",
    "identity_night": "benchmarks.nights.identity_night",
    "identity_quality": "benchmarks.nights.identity_quality",
    "fused_scan": "benchmarks.reading.fused_scan",
    "cold_read": "benchmarks.reading.cold_read",
    "day_partials": "benchmarks.reading.day_partials",
    "monthly_tags": "benchmarks.reading.monthly_tags",
    "segment_preview": "benchmarks.reading.segment_preview",
    "simulated_bank": "benchmarks.nights.simulated_bank",
    "ingestion": "benchmarks.nights.ingestion",
    "contact_policy": "benchmarks.nights.contact_policy",
    "audiences": "benchmarks.nights.audiences",
    "micro_segments": "benchmarks.nights.micro_segments",
    "whole_nights": "benchmarks.nights.whole_nights",
    "many_tags": "benchmarks.nights.many_tags",
    "night_work": "benchmarks.nights.night_work",
    "change_plan": "benchmarks.nights.change_plan",
    "driver_memory": "benchmarks.nights.driver_memory",
}


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(tuple(BENCHMARKS)), help="Run only this one; may be repeated."
)
@click.option(
    "--repeats", default=5, show_default=True, type=click.IntRange(min=2), help="Runs of each way, at most."
)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=pages.FOLDER, help="Where results go."
)
def main(only: tuple[str, ...], repeats: int, into: Path) -> int:
    """Measure speed and quality against alternatives; exit 1 if two ways disagree on an answer."""
    is_wrong = False
    for name in only or BENCHMARKS:
        module = import_module(BENCHMARKS[name])
        machine = machine_facts()
        measured_at = now().isoformat(timespec="minutes")
        click.echo(f"{name}: {module.QUESTION}", err=True)
        outcome = module.run(repeats)
        machine["load_1m_at_end"] = round(os.getloadavg()[0], 2)
        if outcome.skip_reason:
            click.echo(f"  skipped: {outcome.skip_reason}", err=True)
        for row in outcome.rows:
            figures = row.as_dict()
            click.echo(
                f"  {row.case:<40} {row.way:<30} {figures['median_seconds']:9.3f} s  same answer: {row.is_equal}",
                err=True,
            )
            is_wrong |= row.is_equal is False
        pages.keep(into, name, module.QUESTION, outcome, machine, measured_at)
    click.echo(str(pages.write_page(into)))
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main(standalone_mode=False))
