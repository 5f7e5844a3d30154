"""How answers are printed: as a table for people, as CSV, or as JSON."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

GAP = "  "
# A column that is cut keeps this many cells; columns for which even that is no room are left out.
NARROWEST = 8


def print_rows(names: Sequence[str], rows: Sequence[tuple[Any, ...]], form: str) -> None:
    """Print rows as a table, as CSV, or as one JSON object a line.

    A table is cut to the width of the terminal; where stdout is none, nothing is cut.
    """
    if form == "json":
        for row in rows:
            click.echo(_json(dict(zip(names, row, strict=True))))
        return
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if form == "csv":
        _print_csv(names, texts)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines, left_out = table_lines(names, texts, width)
    for line in lines:
        click.echo(line)
    note = f"; {left_out} columns are left out, --format csv has them" if left_out else ""
    click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'}{note})", err=True)


def print_document(document: Mapping[str, Any], lines: Sequence[str], form: str) -> None:
    """Print one answer of many parts: its lines for people, one JSON object, or as CSV one row for each value in it."""
    if form == "json":
        click.echo(_json(document))
    elif form == "csv":
        _print_csv(("field", "value"), [(path, "" if v is None else str(v)) for path, v in _values(document)])
    else:
        for line in lines:
            click.echo(line)


def block_lines(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[str]:
    """Give the lines of one table among several of an answer, an empty line before it; none where it has no row."""
    if not rows:
        return []
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    return ["", *table_lines(names, cells, None)[0]]


def text_table(heads: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[str]:
    """Give such a table whose columns are named by texts of the catalogue."""
    from lakehouse.texts import text

    return block_lines([text(head) for head in heads], rows)


def table_lines(
    names: Sequence[str], texts: Sequence[Sequence[str]], width: int | None
) -> tuple[list[str], int]:
    """Give the aligned lines of a table, no wider than ``width`` cells, and how many columns are left out.

    The widest columns are cut first, with an ellipsis. A sign that a terminal would obey is shown as its escape.
    """
    from rich.cells import cell_len, set_cell_size

    rows = [[_visible(text) for text in row] for row in (names, *texts)]
    naturals = [max(cell_len(row[at]) for row in rows) for at in range(len(names))]
    widths = naturals if width is None else _fitting(naturals, width)

    def cell(text: str, cells: int) -> str:
        if cell_len(text) > cells:
            text = set_cell_size(text, cells - 1).rstrip() + "…"
        return set_cell_size(text, cells)

    body = [GAP.join(map(cell, row[: len(widths)], widths)).rstrip() for row in rows]
    body.insert(1, GAP.join("-" * cells for cells in widths))
    return body, len(names) - len(widths)


def _fitting(naturals: list[int], width: int) -> list[int]:
    """Give the widths of the columns that have room in ``width``: all are cut at the same measure."""
    count = len(naturals)
    while count > 1 and _sum([min(n, NARROWEST) for n in naturals[:count]]) > width:
        count -= 1
    columns = naturals[:count]
    most = max(columns, default=0)
    while most > 2 and _sum([min(n, most) for n in columns]) > width:
        most -= 1
    return [min(n, most) for n in columns]


def _sum(widths: list[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text
    )


def _print_csv(names: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(texts)


def _values(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value inside an answer, with the names and places that lead to it, separated by dots."""
    inner = (
        part.items()
        if isinstance(part, Mapping)
        else enumerate(part)
        if isinstance(part, list | tuple)
        else None
    )
    if inner is None:
        yield path, part
        return
    for name, value in inner:
        yield from _values(value, f"{path}.{name}" if path else str(name))


def _json(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False, default=str)
