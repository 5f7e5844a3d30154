"""The one entry of every module that ``spark-submit`` runs: its options, its JSON line, its exit code."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import NoReturn

import click

from jobs.cli.options import date_option, force_option, workspace_option
from lakehouse.errors import CdpError, refusal
from lakehouse.ledger.json_stderr import json_stderr


def run_step(step: str) -> NoReturn:
    """Run one step: ``--workspace W --date D``."""

    @click.command()
    @date_option(help=None)
    @workspace_option
    def command(business_date: date, workspace: Path | None) -> int:
        from jobs.night.single import run_single
        from lakehouse.settings.settings import load_settings

        click.echo(run_single(load_settings(workspace), step, business_date))
        return 0

    _end_with(step, command)


def run_whole_night() -> NoReturn:
    """Run the night: ``--workspace W --date D [--force]``."""

    @click.command()
    @date_option(help=None)
    @force_option(help=None)
    @workspace_option
    def command(business_date: date, force: bool, workspace: Path | None) -> int:
        from jobs.night.nightly import run_night, summary_line
        from lakehouse.settings.settings import load_settings

        night = run_night(load_settings(workspace), business_date, force=force)
        click.echo(summary_line(night))
        return night.exit_code

    _end_with("nightly", command)


def _end_with(name: str, command: click.Command) -> NoReturn:
    """End the process with the command's exit code; a wrong flag and a ``CdpError`` are one sentence on stderr."""
    with json_stderr():
        try:
            sys.exit(command(standalone_mode=False))
        except click.ClickException as wrong:
            wrong.show()
            sys.exit(wrong.exit_code)
        except CdpError as wrong:
            click.echo(f"{name}: {wrong}", err=True)
            sys.exit(wrong.exit_code)
        except Exception as wrong:
            sentence = refusal(wrong)
            if sentence is None:
                raise
            click.echo(f"{name}: {sentence}", err=True)
            sys.exit(sentence.exit_code)
