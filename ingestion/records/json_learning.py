"""Reads blocks of JSON lines by the shapes met so far and learns new ones: cuts first, then templates, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from ingestion.records.json_cuts import Cut, can_be_cut, make_cut, read_cut
from ingestion.records.json_shapes import Shape, shape_of
from ingestion.records.json_templates import Template, make_template, read_template
from ingestion.records.line_blocks import LineBlock

# Beyond so many ways in one file, trying each costs more than reading one by one.
MOST_CUTS, MOST_TEMPLATES = 3, 12
# A cut is kept if it took at least this share of the lines it was first tried on.
LEAST_TAKEN = 0.1

Found = tuple[Shape, np.ndarray, list[pa.Array]]


class LineReader:
    """Reads many lines at once. Fewer than ``fewest`` are not worth the trouble."""

    def __init__(self, columns: Sequence[str], fewest: int) -> None:
        self._columns, self._fewest = columns, fewest
        self._cuts: list[Cut] = []
        self._is_cutting = True
        self._templates: list[Template] = []
        self._connection: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Give the memory back."""
        if self._connection is not None:
            self._connection.close()

    def read(self, block: LineBlock) -> Iterator[Found]:
        """Give, per shape, its lines of a block: their places and their values, the rest last; each line once.

        Lines of no shape are not given.
        """
        places = np.arange(len(block))
        is_text = block.is_text()
        if self._is_cutting and is_text and can_be_cut(block):
            for found in self._by_cuts(block, places):
                yield found
                places = np.setdiff1d(places, found[1], assume_unique=True)
        if is_text and len(places) >= self._fewest:
            yield from self._by_templates(block, places)

    def _by_cuts(self, block: LineBlock, places: np.ndarray) -> Iterator[Found]:
        tried = 0
        while len(places) >= self._fewest:
            is_new = tried == len(self._cuts)
            if is_new and (len(self._cuts) >= MOST_CUTS or not self._learn_cut(block, places)):
                return
            cut = self._cuts[tried]
            read = read_cut(cut, block.taken(places))
            if read is None:
                return
            at, values = read
            if is_new and len(at) < LEAST_TAKEN * len(places):
                # Lines are too different here; a file is not asked again.
                self._cuts.pop()
                self._is_cutting = bool(self._cuts)
                return
            tried += 1
            if len(at):
                yield cut.shape, places[at], values
                places = np.delete(places, at)

    def _learn_cut(self, block: LineBlock, places: np.ndarray) -> bool:
        for line in _some(block, places):
            shape = shape_of(line, self._columns)
            made = make_cut(line, shape) if shape is not None else None
            if made is not None and made not in self._cuts:
                self._cuts.append(made)
                return True
        return False

    def _by_templates(self, block: LineBlock, places: np.ndarray) -> Iterator[Found]:
        lines = block.lines(pa.string())
        if self._connection is None:
            self._connection = duckdb.connect(config={"threads": 1})
        tried = 0
        while len(places):
            if tried == len(self._templates) and not self._learn_template(block, places):
                return
            template = self._templates[tried]
            tried += 1
            place = pa.array(places)
            found, values = read_template(
                template, pa.table({"place": place, "line": lines.take(place)}), self._connection
            )
            if len(found):
                at = found.to_numpy()
                yield template.shape, at, [value.combine_chunks().cast(pa.string()) for value in values]
                places = np.setdiff1d(places, at, assume_unique=True)

    def _learn_template(self, block: LineBlock, places: np.ndarray) -> bool:
        """Make a template of a line that none recognised, if one can be made of a few of them."""
        if len(self._templates) >= MOST_TEMPLATES:
            return False
        for line in _some(block, places):
            shape = shape_of(line, self._columns)
            made = make_template(shape) if shape is not None else None
            if made is not None and made not in self._templates:
                self._templates.append(made)
                return True
        return False


def _some(block: LineBlock, places: np.ndarray) -> Iterator[str]:
    for at in sorted({0, len(places) // 2, len(places) - 1}):
        yield block.line(places[at]).decode(errors="replace")
