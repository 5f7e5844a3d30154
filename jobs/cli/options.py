"""The options and arguments that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Decorator = Callable[[Any], Any]


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


def _workspace_of(ctx: click.Context) -> Path | None:
    """Give the workspace that the words before the completed one name."""
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import find_workspace

    try:
        return find_workspace(ctx.params.get("workspace"))
    except CdpError:
        return None


def complete_tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the codes of registered tags that begin so, with their names."""
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    return _beginning(
        incomplete,
        lambda: [
            (entry.code, entry.name.en)
            for entry in load_registry(_workspace_of(ctx), shipped=REGISTRY).entries.values()
        ],
    )


def complete_segments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the codes of the workspace's segments that begin so, with their names."""
    from segments.language.spec import read_segments

    workspace = _workspace_of(ctx)
    if workspace is None:
        return []
    return _beginning(incomplete, lambda: [(s.code, s.spec.name.en) for s in read_segments(workspace)])


def complete_feeds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the names of the workspace's feeds that begin so; a file is named like its feed."""
    workspace = _workspace_of(ctx)
    if workspace is None:
        return []
    return _beginning(
        incomplete, lambda: [(file.stem, "") for file in sorted((workspace / "feeds").glob("*.yml"))]
    )


def _beginning(incomplete: str, words: Callable[[], list[tuple[str, str]]]) -> list[CompletionItem]:
    """Give the words that begin so; a workspace at fault completes nothing, its command says what is wrong."""
    from lakehouse.errors import CdpError

    try:
        return [CompletionItem(word, help=text) for word, text in words() if word.startswith(incomplete)]
    except CdpError:
        return []


workspace_option: Decorator = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    envvar="CDP_WORKSPACE",
    help="The workspace folder (default: CDP_WORKSPACE, else the current folder).",
)

as_of_option: Decorator = click.option(
    "--as-of", type=DAY, default=None, help="Read the publication of this business date."
)

newest_date_option: Decorator = click.option(
    "--date", "day", type=DAY, default=None, help="Business date (default: the newest published)."
)

format_option: Decorator = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How the answer is printed: for people, as CSV, or as JSON (one object a row).",
)


def date_option(*, required: bool = True, help: str | None = "The business date D.") -> Decorator:
    """Give the option ``--date``, which arrives as ``business_date``."""
    return click.option("--date", "business_date", type=DAY, required=required, help=help)


def force_option(
    *, help: str | None = "Recompute although files and settings are those of the published night."
) -> Decorator:
    """Give the option ``--force``."""
    return click.option("--force", is_flag=True, help=help)


def engine_option(*, help: str) -> Decorator:
    """Give the option ``--engine``."""
    return click.option("--engine", type=click.Choice(["auto", "duckdb", "spark"]), help=help)


def range_options(*, first: str, last: str, required: bool) -> Decorator:
    """Give the options ``--from`` and ``--to``, which arrive as ``first`` and ``last``; only ``--from`` may be required."""

    def decorate(command: Any) -> Any:
        command = click.option("--to", "last", type=DAY, default=None, help=last)(command)
        return click.option("--from", "first", type=DAY, required=required, help=first)(command)

    return decorate


def two_records(command: Any) -> Any:
    """Add the arguments ``profile_a`` and ``profile_b``, two records of persons."""
    command = click.argument("profile_b", metavar="SOURCE/KEY")(command)
    return click.argument("profile_a", metavar="SOURCE/KEY")(command)


def signature_options(command: Any) -> Any:
    """Add who decides and why: ``--author`` and ``--reason``."""
    command = click.option("--reason", required=True, help="Why, for whoever asks years later.")(command)
    return click.option("--author", required=True, help="Who decides.")(command)
