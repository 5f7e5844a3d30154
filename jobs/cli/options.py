"""Options that every command shares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

workspace_option: Callable[[Any], Any] = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    envvar="CDP_WORKSPACE",
    help="The workspace folder (default: CDP_WORKSPACE, else the current folder).",
)


class BusinessDate(click.ParamType):
    """A calendar day written yyyy-mm-dd."""

    name = "yyyy-mm-dd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Give the day as a ``date``."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(str(value), "%Y-%m-%d").date()
        except ValueError:
            self.fail(f"'{value}' is not a day; write it as yyyy-mm-dd", param, ctx)


DAY = BusinessDate()
