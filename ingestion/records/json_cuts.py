"""JSON lines many at a time: lines of one exact shape, cut at their quotes by ``pyarrow.csv``.

Where no text has an escape, quotes stand only around keys and texts. Cut at its quotes, a line falls into parts of which
every second one is a key or a text and the others are the signs between, with at most one number, ``true``, ``false``
or ``null`` in each. A *cut* is made from one line that the careful way can read; it reads lines whose keys and signs are
the same to the letter, and whatever stands between them as values. ``CutReader`` makes the cuts of a file. Lines of no cut
(with other blanks, a backslash, null for a text in too many places) are left to ``json_lines``, which reads them one by
one; a test holds both ways to the same records.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ingestion.records.json_shapes import LONGEST, NUMBER, TRUTH, WHOLE, Path, Shape, shape_of
from ingestion.records.line_blocks import BACKSLASH, RETURN, LineBlock

# Small enough for the processor's cache: half the time of eight megabytes, measured.
BLOCK_BYTES = 1 << 20
# A line costs a cut 1.2 microseconds and the careful way 19 (measured), so a cut pays from a tenth of the lines on.
MOST_CUTS, SMALLEST_SHARE = 8, 0.1
_BETWEEN = {"whole": WHOLE, "number": NUMBER, "truth": TRUTH}
_AROUND = re.compile(r"([ \t]*:[ \t]*)([^ \t,}]+)([ \t]*[,}].*)", re.DOTALL)


@dataclass(frozen=True)
class Sign:
    """A part with a value between signs: how many signs before and after, and the expression of the whole part."""

    before: int
    after: int
    expression: str


@dataclass(frozen=True)
class JsonValue:
    """A value that is written as JSON: texts that are always the same, and between them the numbers of parts."""

    pieces: tuple[str | int, ...]


@dataclass(frozen=True)
class LineCut:
    """A shape of lines cut at their quotes: parts that are always the same, parts that are texts, parts that hold a value.

    ``values`` names the part of each column, or the parts it is written of; None for a column the lines do not carry.
    ``rest`` is what the columns leave.
    """

    shape: Shape
    same: dict[int, str]
    texts: frozenset[int]
    signs: dict[int, Sign]
    values: tuple[int | JsonValue | None, ...]
    rest: JsonValue | None

    @property
    def parts(self) -> int:
        """Into how many parts a line falls."""
        return len(self.same) + len(self.texts) + len(self.signs)


@dataclass(frozen=True)
class CutLines:
    """The lines of a block that one cut reads: their places, and their columns, the rest last."""

    shape: Shape
    places: np.ndarray
    columns: list[pa.Array]


class CutReader:
    """Reads the lines of a file's blocks by cuts, and makes new cuts up to a limit.

    Fewer lines than ``fewest`` are not worth the trouble.
    """

    def __init__(self, columns: Sequence[str], fewest: int) -> None:
        self._columns, self._fewest = columns, fewest
        self._cuts: list[LineCut] = []
        self._is_cutting = True

    def read(self, block: LineBlock) -> Iterator[CutLines]:
        """Give, per cut, its lines of a block, each line once. Lines of no cut are not given."""
        if not self._is_cutting or not can_be_cut(block):
            return
        places = np.arange(len(block))
        at = 0
        while len(places) >= self._fewest:
            is_new = at == len(self._cuts)
            if is_new and (len(self._cuts) >= MOST_CUTS or not self._add_cut(block, places)):
                return
            line_cut = self._cuts[at]
            lines = read_cut(line_cut, block.select(places))
            if lines is None:
                return
            if is_new and len(lines.places) < SMALLEST_SHARE * len(places):
                # Lines are too different here; a file is not asked again.
                self._cuts.pop()
                self._is_cutting = bool(self._cuts)
                return
            at += 1
            if len(lines.places):
                yield CutLines(lines.shape, places[lines.places], lines.columns)
                places = np.delete(places, lines.places)

    def _add_cut(self, block: LineBlock, places: np.ndarray) -> bool:
        """Make a cut of one of a few lines; False where none of them allows one."""
        for place in sorted({0, len(places) // 2, len(places) - 1}):
            line = block.line(places[place]).decode(errors="replace")
            shape = shape_of(line, self._columns)
            line_cut = make_cut(line, shape) if shape is not None else None
            if line_cut is not None and line_cut not in self._cuts:
                self._cuts.append(line_cut)
                return True
        return False


def make_cut(line: str, shape: Shape) -> LineCut | None:
    """Give the cut for lines like ``line``, whose shape is given; None where one can not be made."""
    line = line.removesuffix("\n").removesuffix("\r")
    if "\\" in line or any(sign < " " and sign != "\t" for sign in line):
        return None
    parts = line.split('"')
    same = dict(enumerate(parts))
    texts: set[int] = set()
    signs: dict[int, Sign] = {}
    part_of: dict[Path, int] = {}
    key = 1
    for path, kind in shape.members:
        after = key + 1
        if kind == "object":
            key += 2
            continue
        if kind == "text" and same[after].strip(" \t") == ":":
            texts.add(key + 2)
            part_of[path] = key + 2
            key += 4
            continue
        match = _AROUND.fullmatch(parts[after])
        if match is None or (kind == "text" and match[2] != "null"):
            return None
        before, _, behind = match.groups()
        between = _BETWEEN.get(kind, "null")
        signs[after] = Sign(
            len(before), len(behind), rf"\A{_escape(before)}(?:{between}|null){_escape(behind)}\z"
        )
        part_of[path] = after
        key += 2
    for part in (*texts, *signs):
        del same[part]
    extras = [(path, kind) for path, kind in shape.children(()) if path[0] in shape.extras]
    values: list[int | JsonValue | None] = []
    for column in shape.values:
        if column is None or column in part_of:
            values.append(None if column is None else part_of[column])
        else:
            values.append(_json_value(shape.children(column), shape, part_of, texts))
    rest = _json_value(extras, shape, part_of, texts) if extras else None
    return LineCut(shape, same, frozenset(texts), signs, tuple(values), rest)


def _json_value(
    members: Sequence[tuple[Path, str]], shape: Shape, part_of: dict[Path, int], texts: set[int]
) -> JsonValue:
    """Give how an object of these members is written as ``json.dumps`` writes it."""
    pieces: list[str | int] = ["{"]

    def add(piece: str | int) -> None:
        if isinstance(piece, str) and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)

    for n, (path, kind) in enumerate(members):
        add(f'{", " if n else ""}"{path[-1]}": ')
        if kind == "object":
            for piece in _json_value(shape.children(path), shape, part_of, texts).pieces:
                add(piece)
        else:
            quote = '"' if part_of[path] in texts else ""
            add(quote)
            add(part_of[path])
            add(quote)
    add("}")
    return JsonValue(tuple(pieces))


def can_be_cut(block: LineBlock) -> bool:
    """Tell whether lines are text, end where they seem to, and begin with no sign a reader would skip."""
    return block.is_text() and not block.has_control_signs() and not block.starts_with(codecs.BOM_UTF8)


def read_cut(line_cut: LineCut, block: LineBlock) -> CutLines | None:
    """Give the lines of a block that the cut reads; None where the block as a whole cannot be read so."""
    others: list[int] = []

    def skip(row: Any) -> str:
        others.append(row.number - 1)
        return "skip"

    names = [f"p{part}" for part in range(line_cut.parts)]
    variable = sorted((*line_cut.texts, *line_cut.signs))
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block.buffer),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter='"', quote_char=False, escape_char=False, ignore_empty_lines=False,
                newlines_in_values=False, invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=[f"p{part}" for part in variable],
                strings_can_be_null=True, null_values=[""], check_utf8=False,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    places = np.delete(np.arange(len(block)), others)
    if len(places) != table.num_rows:
        return None
    parts = {part: table[f"p{part}"].combine_chunks() for part in variable}
    lines = block.lines(pa.string())
    is_own = _is_own(
        line_cut,
        parts,
        lines.take(pa.array(places)) if others else lines,
        has_returns=block.has(RETURN),
        may_escape=block.has(BACKSLASH),
    )
    if is_own is not None:
        places = places[is_own.to_numpy(zero_copy_only=False)]
        parts = {part: column.filter(is_own) for part, column in parts.items()}
    values = {part: _value(line_cut, part, column) for part, column in parts.items()}
    columns = [_column(line_cut, value, values, len(places)) for value in (*line_cut.values, line_cut.rest)]
    return CutLines(line_cut.shape, places, columns)


def _is_own(
    line_cut: LineCut, parts: dict[int, pa.Array], lines: pa.Array, *, has_returns: bool, may_escape: bool
) -> pa.Array | None:
    """Give which lines are those of the cut, None for all: put together again, its parts are the line to the letter."""
    whole: list[Any] = []
    literal = ""
    for part in range(line_cut.parts):
        quote = '"' if part else ""
        if part in parts:
            whole += [literal + quote, _fill(parts[part], "")]
            literal = ""
        else:
            literal += quote + line_cut.same[part]
    is_same = pc.equal(lines, pc.binary_join_element_wise(*whole, literal + "\n", ""))
    if has_returns:
        other = pc.equal(lines, pc.binary_join_element_wise(*whole, literal + "\r\n", ""))
        is_same = pc.or_(is_same, other)
    conditions = [is_same]
    for part, sign in line_cut.signs.items():
        conditions.append(pc.match_substring_regex(parts[part], sign.expression))
        conditions.append(pc.less_equal(pc.binary_length(parts[part]), sign.before + sign.after + LONGEST))
    if may_escape:
        conditions += [pc.invert(pc.match_substring(parts[part], "\\")) for part in line_cut.texts]
    is_own: Any = None
    for condition in conditions:
        is_met = pc.fill_null(condition, True)  # an empty text, which is null here, breaks no condition
        if not pc.all(is_met).as_py():
            is_own = is_met if is_own is None else pc.and_(is_own, is_met)
    return is_own


def _value(line_cut: LineCut, part: int, column: pa.Array) -> pa.Array:
    if part in line_cut.texts:
        return column
    sign = line_cut.signs[part]
    inner = pc.utf8_slice_codeunits(column, sign.before, -sign.after)
    return pc.if_else(pc.equal(inner, "null"), pa.scalar(None, pa.string()), inner)


def _column(
    line_cut: LineCut, value: int | JsonValue | None, values: dict[int, pa.Array], length: int
) -> pa.Array:
    if value is None:
        return pa.nulls(length, pa.string())
    if isinstance(value, int):
        return values[value]
    pieces = [
        piece if isinstance(piece, str) else _fill(values[piece], "" if piece in line_cut.texts else "null")
        for piece in value.pieces
    ]
    if all(isinstance(piece, str) for piece in pieces):
        return pa.repeat(pa.scalar("".join(pieces), pa.string()), length)
    return pc.binary_join_element_wise(*pieces, "")


def _fill(column: pa.Array, text: str) -> pa.Array:
    return pc.fill_null(column, text) if column.null_count else column  # it would copy all of it


def _escape(text: str) -> str:
    return re.sub(r"([{}\[\]().*+?|^$])", r"\\\1", text)
