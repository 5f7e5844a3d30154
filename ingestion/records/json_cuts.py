"""JSON lines of one exact shape, cut at their quotes by ``pyarrow.csv``.

Where no text has an escape, quotes stand only around keys and texts. Cut at its quotes, a line falls into parts of which
every second one is a key or a text and the others are the signs between, with at most one number, ``true``, ``false``
or ``null`` in each. A *cut* is made from one line the careful way has read; it takes lines whose keys and signs are the
same to the letter, and whatever stands between them as values. Lines with other blanks, with null for a text or with a
backslash are not its own: they are left to ``json_templates``.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ingestion.records.json_shapes import LONGEST, NUMBER, TRUTH, WHOLE, Path, Shape
from ingestion.records.line_blocks import BACKSLASH, RETURN, LineBlock

# Small enough for the processor's cache: half the time of eight megabytes, measured.
BLOCK_BYTES = 1 << 20
_BETWEEN = {"whole": WHOLE, "number": NUMBER, "truth": TRUTH}
_HELD = re.compile(r"([ \t]*:[ \t]*)([^ \t,}]+)([ \t]*[,}].*)", re.DOTALL)


@dataclass(frozen=True)
class Held:
    """A part with a value between signs: how many before and after, and the expression of the whole part."""

    before: int
    after: int
    recognised: str


@dataclass(frozen=True)
class Cut:
    """A shape of lines cut at their quotes: parts that are always the same, parts that are texts, parts that hold a value.

    ``values`` names the part of each wanted column, None for one the lines do not carry.
    """

    shape: Shape
    same: dict[int, str]
    texts: frozenset[int]
    held: dict[int, Held]
    values: tuple[int | None, ...]
    rest: tuple[tuple[str, int], ...]

    @property
    def parts(self) -> int:
        """Into how many parts a line falls."""
        return len(self.same) + len(self.texts) + len(self.held)


def make_cut(line: str, shape: Shape) -> Cut | None:
    """Give the cut for lines like ``line``, whose shape is given; None where one can not be made."""
    line = line.removesuffix("\n").removesuffix("\r")
    if "\\" in line or any(sign < " " and sign != "\t" for sign in line):
        return None
    parts = line.split('"')
    same = dict(enumerate(parts))
    texts: set[int] = set()
    held: dict[int, Held] = {}
    at: dict[Path, int] = {}
    key = 1
    for path, kind in shape.members:
        after = key + 1
        if kind == "object":
            key += 2
            continue
        if kind == "text" and same[after].strip(" \t") == ":":
            texts.add(key + 2)
            at[path] = key + 2
            key += 4
            continue
        found = _HELD.fullmatch(parts[after])
        if found is None or (kind == "text" and found[2] != "null"):
            return None
        before, _, behind = found.groups()
        between = _BETWEEN.get(kind, "null")
        held[after] = Held(
            len(before), len(behind), rf"\A{_escaped(before)}(?:{between}|null){_escaped(behind)}\z"
        )
        at[path] = after
        key += 2
    for part in (*texts, *held):
        del same[part]
    return Cut(
        shape=shape,
        same=same,
        texts=frozenset(texts),
        held=held,
        values=tuple(at[path] if path is not None else None for path in shape.values),
        rest=tuple((name, at[name,]) for name in shape.extras),
    )


def can_be_cut(block: LineBlock) -> bool:
    """Tell whether lines of text end where they seem to, and begin with no sign a reader would skip."""
    return not block.has_control_signs() and not block.starts_with(codecs.BOM_UTF8)


def read_cut(cut: Cut, block: LineBlock) -> tuple[np.ndarray, list[pa.Array]] | None:
    """Give the places of the lines that are the cut's own, and their wanted values, the rest last.

    None where the block as a whole cannot be read so.
    """
    others: list[int] = []

    def skip(row: Any) -> str:
        others.append(row.number - 1)
        return "skip"

    names = [f"p{at}" for at in range(cut.parts)]
    wanted = sorted((*cut.texts, *cut.held))
    try:
        found = pyarrow.csv.read_csv(
            pa.BufferReader(block.buffer),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter='"', quote_char=False, escape_char=False, ignore_empty_lines=False,
                newlines_in_values=False, invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=[f"p{part}" for part in wanted],
                strings_can_be_null=True, null_values=[""], check_utf8=False,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    at = np.delete(np.arange(len(block)), others)
    if len(at) != found.num_rows:
        return None
    parts = {part: found[f"p{part}"].combine_chunks() for part in wanted}
    lines = block.lines(pa.string())
    own = _own(
        cut,
        parts,
        lines.take(pa.array(at)) if others else lines,
        has_returns=block.has(RETURN),
        may_escape=block.has(BACKSLASH),
    )
    if own is not None:
        at = at[own.to_numpy(zero_copy_only=False)]
        parts = {part: column.filter(own) for part, column in parts.items()}
    values = {part: _value(cut, part, column) for part, column in parts.items()}
    nothing = pa.nulls(len(at), pa.string())
    return at, [
        *(nothing if part is None else values[part] for part in cut.values),
        _rest(cut, values, nothing),
    ]


def _own(
    cut: Cut, parts: dict[int, pa.Array], lines: pa.Array, *, has_returns: bool, may_escape: bool
) -> pa.Array | None:
    """Give which lines are those of the cut, None for all: put together again, its parts are the line to the letter."""
    whole: list[Any] = []
    literal = ""
    for part in range(cut.parts):
        quote = '"' if part else ""
        if part in parts:
            whole += [literal + quote, _filled(parts[part])]
            literal = ""
        else:
            literal += quote + cut.same[part]
    is_same = pc.equal(lines, pc.binary_join_element_wise(*whole, literal + "\n", ""))
    if has_returns:
        other = pc.equal(lines, pc.binary_join_element_wise(*whole, literal + "\r\n", ""))
        is_same = pc.or_(is_same, other)
    doubts = [is_same]
    for part, held in cut.held.items():
        doubts.append(pc.match_substring_regex(parts[part], held.recognised))
        doubts.append(pc.less_equal(pc.binary_length(parts[part]), held.before + held.after + LONGEST))
    if may_escape:
        doubts += [pc.invert(pc.match_substring(parts[part], "\\")) for part in cut.texts]
    own: Any = None
    for doubt in doubts:
        sure = pc.fill_null(doubt, True)  # an empty text, which is null here, has nothing to be doubted
        if not pc.all(sure).as_py():
            own = sure if own is None else pc.and_(own, sure)
    return own


def _value(cut: Cut, part: int, column: pa.Array) -> pa.Array:
    if part in cut.texts:
        return column
    held = cut.held[part]
    inner = pc.utf8_slice_codeunits(column, held.before, -held.after)
    return pc.if_else(pc.equal(inner, "null"), pa.scalar(None, pa.string()), inner)


def _rest(cut: Cut, texts: dict[int, pa.Array], nothing: pa.Array) -> pa.Array:
    """Give what nobody asked for as one JSON object."""
    if not cut.rest:
        return nothing
    written: list[Any] = []
    opening = "{"
    for name, part in cut.rest:
        quote = '"' if part in cut.texts else ""
        written += [f'{opening}"{name}": {quote}', pc.fill_null(texts[part], "" if quote else "null")]
        opening = f"{quote}, "
    closing = ('"' if cut.rest[-1][1] in cut.texts else "") + "}"
    return pc.binary_join_element_wise(*written, closing, "")


def _filled(column: pa.Array) -> pa.Array:
    return pc.fill_null(column, "") if column.null_count else column  # it would copy all of it


def _escaped(text: str) -> str:
    return re.sub(r"([{}\[\]().*+?|^$])", r"\\\1", text)
