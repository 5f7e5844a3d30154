"""``cdp jars``: Delta's JARs in a folder, so that nights need no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import format_option, workspace_option

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings


@click.group("jars")
def group() -> None:
    """Fetch and check Delta's JARs."""


@group.command("fetch")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder (default: `jars:` of the workspace, CDP_JARS, jars/ of a clone, else a cache of this user).",
)
@workspace_option
def fetch(into: Path | None, workspace: Path | None) -> None:
    """Resolve Delta's JARs with Spark's own Maven resolver and check their sha256."""
    from lakehouse.session.session import fetch_jars, jars_folder, verify_jars

    folder = into or jars_folder(_settings(workspace))
    if all(verify_jars(folder).values()):
        click.echo(f"{folder} holds every JAR already")
        return
    files = fetch_jars(folder)
    click.echo(f"{len(files)} JARs in {folder}, all with the known sha256")


@group.command("verify")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder (default: `jars:` of the workspace, CDP_JARS, jars/ of a clone, else a cache of this user).",
)
@format_option
@workspace_option
def verify(folder: Path | None, form: str, workspace: Path | None) -> int:
    """Compare the JARs with the known sha256; exit 1 if one is missing or differs."""
    from jobs.cli.printing import print_rows
    from lakehouse.session.session import jars_folder, verify_jars

    results = verify_jars(folder or jars_folder(_settings(workspace)))
    print_rows(("jar", "state"), [(name, "good" if good else "BAD") for name, good in results.items()], form)
    return 0 if all(results.values()) else 1


def _settings(workspace: Path | None) -> Settings | None:
    """Give the workspace's settings where one is named or here; the JARs can be fetched without."""
    from lakehouse.errors import SettingsInvalid
    from lakehouse.settings.settings import load_settings

    try:
        return load_settings(workspace)
    except SettingsInvalid:
        if workspace is not None:
            raise
        return None
