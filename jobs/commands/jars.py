"""``cdp jars``: Delta's JARs in a folder, so that nights need no network."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("jars")
def group() -> None:
    """Fetch and check Delta's JARs."""


@group.command("fetch")
@click.option(
    "--into", type=click.Path(path_type=Path), default=None, help="The folder (default: CDP_JARS or jars/)."
)
def fetch(into: Path | None) -> None:
    """Resolve Delta's JARs with Spark's own Maven resolver and check their sha256."""
    from lakehouse.session import fetch_jars, jars_folder, verify_jars

    folder = into or jars_folder()
    if all(verify_jars(folder).values()):
        click.echo(f"{folder} holds every JAR already")
        return
    found = fetch_jars(folder)
    click.echo(f"{len(found)} JARs in {folder}, all with the known sha256")


@group.command("verify")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=None, help="The folder (default: CDP_JARS or jars/)."
)
def verify(folder: Path | None) -> int:
    """Compare the JARs with the known sha256; exit 1 if one is missing or differs."""
    from lakehouse.session import jars_folder, verify_jars

    results = verify_jars(folder or jars_folder())
    for name, good in results.items():
        click.echo(f"{'good' if good else 'BAD '}  {name}")
    return 0 if all(results.values()) else 1
