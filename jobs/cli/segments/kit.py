"""``cdp segments test-kit``: audiences with known verdicts, for the team of a consumer."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("test-kit")
@click.argument("folder", type=click.Path(path_type=Path))
def test_kit(folder: Path) -> None:
    """Write made-up audiences, good and damaged, into a new FOLDER, with the verdict that a consumer must come to.

    The same version of the product writes the same bytes. Needs no workspace. docs/consume-an-audience.md says how to use it.
    """
    from delivery.kit.kit import write_kit

    number = write_kit(folder)
    click.echo(f"{number} folders with their verdicts in {folder}; begin with {folder / 'README.md'}")
