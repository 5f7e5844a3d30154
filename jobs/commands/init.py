"""``cdp init``: an empty workspace to start from."""

from __future__ import annotations

from pathlib import Path

import click

CDP_YML = """\
# Settings of this workspace; every key is optional. Paths are relative to this folder.
lake: lake                # where the Delta tables live
inbox: inbox              # where channels deliver files, one folder per feed
published: published      # where audiences are put for the engines
reports: reports
time_zone: Asia/Shanghai  # a business date begins and ends in this zone
currency: CNY
language: zh
spark: {driver_memory: 3g, cores: all}
"""
DESTINATIONS_YML = """\
# Where audiences go. `level_ceiling` is the highest personal level a published column may have.
destinations: []
"""


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Write an empty workspace into FOLDER (new or empty)."""
    from lakehouse.errors import UsageError

    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder, nothing was written")
    for name in ("feeds", "tags", "segments", "lists", "models", "inbox", "secrets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "secrets").chmod(0o700)
    (folder / "cdp.yml").write_text(CDP_YML, encoding="utf-8")
    (folder / "identity.yml").write_text(
        "# Identifier types and rules beside the shipped ones.\nnamespaces: {}\n", encoding="utf-8"
    )
    (folder / ".gitignore").write_text(
        "lake/\ninbox/\npublished/\nreports/\nsecrets/\n.cdp/\n", encoding="utf-8"
    )
    click.echo(
        f"{folder} is a workspace; next: write feeds/<name>.yml (docs/feeds.md) and try `cdp feeds check`"
    )
