"""How rows are printed: as a table for people, as CSV, or as one JSON object a line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any
from unicodedata import east_asian_width

import click


def print_rows(names: Sequence[str], rows: Sequence[tuple[Any, ...]], form: str) -> None:
    """Print rows as a table, as CSV, or as one JSON object a line."""
    if form == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str))
        return
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(texts)
        return
    widths = [max(map(width_of, [name, *(row[at] for row in texts)])) for at, name in enumerate(names)]
    for line in [names, ["-" * width for width in widths], *texts]:
        cells = (cell + " " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'})", err=True)


def width_of(text: str) -> int:
    """Give the number of terminal cells; Chinese characters take two."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)
