"""Proof that a change of the code changes nothing that a night computes: one line per item, to be compared.

``python -m benchmarks.unchanged --product DIR --work DIR > before`` runs the nights of the examples and the wrong
inputs by the product that stands in ``DIR``, through its command line alone; ``--compare before after`` shows which
lines differ. The product's folder is only read: workspaces are copies below ``--work``.
"""

from __future__ import annotations

import difflib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import unchanged_contents as contents
from benchmarks.unchanged_product import Product
from benchmarks.unchanged_wrong_inputs import wrong_input_lines

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = "shared/data"
RUNTIME_FOLDERS = ("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
NIGHTS = ("2026-11-18", "2026-11-19", "2026-11-20")


@dataclass(frozen=True)
class Place:
    """Where a section runs: the product, the folder for its workspaces, and the third-party data."""

    product: Product
    work: Path
    data: Path

    def workspace(self, example: str, name: str) -> Path:
        """Copy an example's workspace, with secrets that are the same every time; give its new folder."""
        folder = self.work / name
        if folder.exists():
            raise click.UsageError(f"{folder} exists; name an empty --work, nothing is taken over")
        runtime = shutil.ignore_patterns(*RUNTIME_FOLDERS)
        shutil.copytree(self.product.root / "examples" / example, folder, ignore=runtime)
        write_secrets(folder)
        settings = folder / "cdp.yml"
        text = settings.read_text(encoding="utf-8")
        shared = re.compile(rf"^inbox: .*{SHARED_DATA}/", flags=re.M)
        if shared.search(text) and not self.data.is_dir():
            raise click.UsageError(f"{self.data} does not exist; name the third-party data with --data")
        settings.write_text(shared.sub(f"inbox: {self.data}/", text), encoding="utf-8")
        return folder


def write_secrets(workspace: Path) -> None:
    """Write the keys a workspace needs; with keys by chance no two runs would write the same hashes."""
    destinations = re.findall(r"^  ([a-z_]+):", (workspace / "destinations.yml").read_text("utf-8"), re.M)
    folder = workspace / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    kinds = ("destination_key", "verification_key")
    for name in ("identity_key", *(f"{kind}_{name}" for kind in kinds for name in destinations)):
        file = folder / f"{name}.key"
        file.touch(mode=0o600)
        file.write_text(f"the same every time: {name}\n", encoding="utf-8")


def bank_lines(place: Place) -> Iterator[str]:
    """Run the bank of `make run`, then its last night again."""
    folder = place.workspace("bank", "bank")
    place.product.must("demo --people 5000 --nights 3 --seed 7 --history-months 6", folder)
    again = place.product.run(f"nightly --date {NIGHTS[-1]}", folder)
    yield f"again {NIGHTS[-1]} exit={again.exit_code}"
    yield from simulated_lines(folder)


def heavy_bank_lines(place: Place) -> Iterator[str]:
    """Run a larger bank that delivers as untidily as the simulator can; an engine answers between its nights."""
    folder = place.workspace("bank", "bank-heavy")
    place.product.must(
        "simulate --people 20000 --nights 3 --seed 7 --history-months 6 --mess heavy --out .", folder
    )
    for day in NIGHTS:
        place.product.must(f"nightly --date {day}", folder)
        if day != NIGHTS[-1]:
            answers = f"simulate-receipts --published published --inbox inbox --date {day} --workspace ."
            place.product.must(answers, folder)
    yield from simulated_lines(folder)


def berka_lines(place: Place) -> Iterator[str]:
    """Run the night of the Czech bank, and one more."""
    folder = place.workspace("berka", "berka")
    for day in ("1994-03-30", "1994-03-31"):
        place.product.must(f"nightly --date {day}", folder)
    yield from night_lines(folder)


def shop_lines(place: Place) -> Iterator[str]:
    """Run a year of the online shop in one pass, then its last three nights."""
    folder = place.workspace("online-retail", "online-retail")
    place.product.must("ingest --from 2010-12-01 --to 2011-12-06", folder)
    place.product.must("backfill --from 2011-12-07 --to 2011-12-09", folder)
    yield from night_lines(folder)


def simulated_lines(workspace: Path) -> Iterator[str]:
    """Give the lines of a simulated bank: its nights, what was delivered to it, and the truth."""
    yield from night_lines(workspace)
    yield from contents.delivery_lines(workspace / "inbox")
    yield from contents.truth_lines(workspace / "truth")


def night_lines(workspace: Path) -> Iterator[str]:
    """Give the lines of a workspace's nights, at least one of which is published."""
    if not contents.publications(workspace / "lake"):
        sys.exit(f"no night of {workspace} is published; there is nothing to compare")
    yield from contents.lake_lines(workspace / "lake")
    yield from contents.published_lines(workspace / "published")
    yield from contents.report_lines(workspace / "reports")


def faulty_lines(place: Place) -> Iterator[str]:
    """Give the answers to wrong inputs."""
    night = place.workspace("bank", "night")
    place.product.must("demo --people 200 --nights 1 --seed 7 --history-months 2", night)
    yield from wrong_input_lines(place.product, place.work / "cases", place.workspace, night=night)


SECTIONS: dict[str, Callable[[Place], Iterator[str]]] = {
    "bank": bank_lines,
    "bank-heavy": heavy_bank_lines,
    "berka": berka_lines,
    "online-retail": shop_lines,
    "wrong-inputs": faulty_lines,
}


def differences(before: Path, after: Path, only: tuple[str, ...] = ()) -> list[str]:
    """Give the lines that only one of two prints has, ``-`` before and ``+`` after; of all sections, or of some."""

    def lines_of(path: Path) -> list[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return sorted(line for line in lines if not only or line.split(" ", 1)[0] in only)

    one, other = lines_of(before), lines_of(after)
    lines = difflib.unified_diff(one, other, n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


@click.command()
@click.option("--product", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The code.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="An empty folder to work in.")
@click.option("--only", multiple=True, type=click.Choice(list(SECTIONS)), help="Only this; may be repeated.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT.parent / SHARED_DATA,
    help="Third-party data, with folders berka and online-retail (default: beside this checkout).",
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="BEFORE AFTER",
    help="Compare two prints; exit 1 when they differ.",
)
def main(
    product: Path | None,
    work: Path | None,
    only: tuple[str, ...],
    data: Path,
    compare: tuple[Path, Path] | None,
) -> int:
    """Print one line per item that a product's nights compute, or compare two such prints."""
    if compare is not None:
        lines = differences(*compare, only)
        click.echo("\n".join(lines) if lines else "nothing differs")
        return 1 if lines else 0
    if product is None or work is None:
        raise click.UsageError("name --product and --work, or --compare two prints")
    work.mkdir(parents=True, exist_ok=True)
    place = Place(Product(product.resolve(), work.resolve()), work.resolve(), data.resolve())
    for name in only or SECTIONS:
        begin = time.monotonic()
        for line in sorted(SECTIONS[name](place)):
            click.echo(f"{name} {line}")
        click.echo(f"{name}: {time.monotonic() - begin:.0f} s", err=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(standalone_mode=False))
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(2)
