"""Reading delivered text files record by record: numbers, raw text of broken records, strict decoding.

``pyarrow.csv`` reads what is whole (some 20 million values a second, measured) and hands over what is not. From the
first record that looks torn (a quote left open, bytes that are no text) the slower careful reader takes over, which
gives up one line, not the rest of the file. Both number alike: data records from 1, the header and blank lines not
counted, a record that spans lines is one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lakehouse.errors import InputInvalid
from lakehouse.yaml_files import did_you_mean

ROW, PROBLEM, RAW, EXTRA, FILE = "_row", "_problem", "_raw", "_extra", "_file"
BLOCK_BYTES = 8 << 20
BATCH_ROWS = 50_000
# A record of more lines than this is taken for an open quote: an address has five lines, a contract's text fifty.
LONGEST_RECORD_LINES = 1_000
# A file with more undecodable records than this share is in another encoding; fewer are damage inside a good file.
LARGEST_UNDECODABLE_RATIO = 0.1


@dataclass(frozen=True)
class Layout:
    """How the records of a file are written and which of their columns are wanted, in this order."""

    columns: tuple[str, ...]
    type: Literal["csv", "json_lines"] = "csv"
    separator: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: bool = True


@dataclass(frozen=True)
class Record:
    """One record as it stands in the file; ``values`` is None when ``problem`` says why it cannot be split."""

    number: int
    text: str
    values: list[str] | None = None
    problem: str | None = None


def record_schema(columns: Iterable[str]) -> pa.Schema:
    """Give the Arrow schema of what the reader yields: number, problem, raw text of a broken record, text columns."""
    texts = [pa.field(name, pa.string()) for name in columns]
    given = [pa.field(ROW, pa.int64()), pa.field(PROBLEM, pa.string()), pa.field(RAW, pa.string())]
    return pa.schema([*given, *texts, pa.field(EXTRA, pa.string())])


class RecordReader:
    """The records of one file as Arrow batches of ``record_schema``; empty text is null.

    A broken record has ``_problem`` and ``_raw`` and null columns. Columns the layout does not name come as one
    JSON object in ``_extra``. After iteration ``records`` counts all, ``broken`` the broken ones, ``extra_columns``
    names what the file brings beyond the layout, ``unseen_columns`` JSON keys no record carried. A file that cannot
    be read at all (empty, damaged archive, missing column, another encoding) raises ``InputInvalid``.
    """

    def __init__(self, path: Path, layout: Layout, *, name: str | None = None) -> None:
        self.path, self.layout, self.name = Path(path), layout, name or str(path)
        self.records = 0
        self.broken = 0
        self.extra_columns: tuple[str, ...] = ()
        self.unseen_columns: tuple[str, ...] = ()
        self._undecodable = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            batches = self._json_batches() if self.layout.type == "json_lines" else self._csv_batches()
            for batch in batches:
                self.records += batch.num_rows
                self.broken += batch.num_rows - batch.column(PROBLEM).null_count
                yield batch
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise self._invalid("is a damaged or cut gzip archive; have it delivered again") from None
        except (FileNotFoundError, IsADirectoryError, PermissionError) as wrong:
            raise self._invalid(f"cannot be opened ({wrong.strerror}); check the delivery") from None

    def _invalid(self, sentence: str) -> InputInvalid:
        return InputInvalid(sentence, file=self.name)

    # --- CSV ---------------------------------------------------------------------------------------------------

    def _csv_batches(self) -> Iterator[pa.RecordBatch]:
        names = self._csv_names()
        yielded = 0
        held: pa.RecordBatch | None = None
        with _open(self.path) as raw:
            stream = _Utf8Stream(raw, self.layout)
            broken: list[Record] = []
            torn: list[int] = []
            try:
                for rows in self._arrow_reader(stream, names, broken, torn):
                    if held is not None:
                        yield held
                        yielded += held.num_rows
                    limit = min(torn, default=None)
                    numbers = _next_numbers(yielded + 1, rows.num_rows, sorted(r.number for r in broken))
                    fit = rows.num_rows if limit is None else int(np.searchsorted(numbers, limit))
                    end = int(numbers[fit - 1]) if fit else yielded
                    upto = (limit - 1) if limit is not None else end
                    held = self._merged(rows.slice(0, fit), numbers[:fit], _taken(broken, upto), names)
                    if limit is not None:
                        break
                else:
                    left = _taken(broken, None)
                    last = max((r.number for r in left), default=0)
                    if left:
                        held = self._joined(held, self._from_records(left, names))
                    is_open = stream.quotes % 2 == 1 and held is not None and held.num_rows > 0 and not torn
                    # A quote is open at the end. A last record already handed over as broken explains it;
                    # a last record of the right shape is cut all the same and must be looked at.
                    if is_open and held is not None and last != yielded + held.num_rows:
                        torn.append(yielded + held.num_rows)
                        held = held.slice(0, held.num_rows - 1)
            except (pa.ArrowInvalid, UnicodeDecodeError):
                torn.append(yielded + (held.num_rows if held is not None else 0) + 1)
        if held is not None and held.num_rows:
            yield held
            yielded += held.num_rows
        if torn:
            yield from self._careful_batches(names, start=yielded + 1)

    def _csv_names(self) -> list[str]:
        """Give the file's column names: from its header, checked against the layout, else the layout's own."""
        if not self.layout.header:
            if next(iter_records(self.path, self.layout), None) is None:
                raise self._invalid("is empty; have it delivered again")
            return list(self.layout.columns)
        first = next(iter_records(self.path, self.layout, with_header=True), None)
        if first is None:
            raise self._invalid("is empty; have it delivered again")
        if first.values is None:
            raise self._invalid(
                f"has a header that cannot be read as {self.layout.encoding}; check 'format' of the feed"
            )
        names = [name.strip() for name in first.values]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._invalid(f"names the column '{twice[0]}' twice in its header")
        for wanted in self.layout.columns:
            if wanted not in names:
                raise self._invalid(
                    f"has no column '{wanted}' that the feed maps{did_you_mean(wanted, names)}; "
                    "have it delivered again or change 'columns' of the feed"
                )
        self.extra_columns = tuple(name for name in names if name not in self.layout.columns)
        return names

    def _arrow_reader(
        self, stream: _Utf8Stream, names: list[str], broken: list[Record], torn: list[int]
    ) -> Iterator[pa.RecordBatch]:
        shift = 1 if self.layout.header else 0

        def refuse(row: Any) -> str:
            number = row.number - shift
            if "\n" in row.text.rstrip("\r\n"):
                torn.append(number)
            else:
                broken.append(
                    Record(number, row.text, None, _shape(row.expected_columns, row.actual_columns))
                )
            return "skip"

        reader = pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            # Threads would take the row numbers away from broken records.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=0
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.layout.separator,
                quote_char=self.layout.quote or False,
                newlines_in_values=self.layout.quote is not None,
                invalid_row_handler=refuse,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
        header = self.layout.header
        for batch in reader:
            if header and batch.num_rows:
                batch, header = batch.slice(1), False
            yield batch

    def _merged(
        self, rows: pa.RecordBatch, numbers: np.ndarray, broken: list[Record], names: list[str]
    ) -> pa.RecordBatch:
        """Give rows and broken records as one batch in the order of the file."""
        nothing = pa.nulls(rows.num_rows, pa.string())
        extra = _extra_json(rows.select(self.extra_columns)) if self.extra_columns else nothing
        kept = [rows.column(name) for name in self.layout.columns]
        whole = pa.record_batch(
            [pa.array(numbers), nothing, nothing, *kept, extra], schema=record_schema(self.layout.columns)
        )
        if not broken:
            return whole
        both = self._joined(whole, self._from_records(broken, names))
        return both.take(pc.sort_indices(both.column(ROW)))

    def _joined(self, first: pa.RecordBatch | None, second: pa.RecordBatch) -> pa.RecordBatch:
        return second if first is None else pa.concat_batches([first, second])

    def _from_records(self, records: list[Record], names: list[str]) -> pa.RecordBatch:
        at = {name: position for position, name in enumerate(names)}
        columns: list[Any] = [
            pa.array([r.number for r in records], pa.int64()),
            pa.array([r.problem for r in records], pa.string()),
            pa.array([r.text if r.problem else None for r in records], pa.string()),
        ]
        for name in self.layout.columns:
            columns.append(
                pa.array([(r.values[at[name]] or None) if r.values else None for r in records], pa.string())
            )
        extra = [
            json.dumps({n: r.values[at[n]] for n in self.extra_columns}, ensure_ascii=False)
            if r.values and self.extra_columns
            else None
            for r in records
        ]
        return pa.record_batch(
            [*columns, pa.array(extra, pa.string())], schema=record_schema(self.layout.columns)
        )

    def _careful_batches(self, names: list[str], *, start: int) -> Iterator[pa.RecordBatch]:
        waiting: list[Record] = []
        seen = 0
        for record in iter_records(self.path, self.layout, width=len(names)):
            seen = record.number
            self._undecodable += record.problem is not None and record.problem.startswith("undecodable")
            if record.number < start:
                continue
            waiting.append(record)
            if len(waiting) >= BATCH_ROWS:
                yield self._from_records(waiting, names)
                waiting = []
        self._refuse_other_encoding(seen)
        if waiting:
            yield self._from_records(waiting, names)

    def _refuse_other_encoding(self, records: int) -> None:
        if self._undecodable > max(1, records * LARGEST_UNDECODABLE_RATIO):
            raise self._invalid(
                f"is not {self.layout.encoding} text: {self._undecodable} of {records} records cannot be decoded; "
                "set 'format: encoding' of the feed (gb18030 is usual for Chinese text)"
            )

    # --- JSON lines --------------------------------------------------------------------------------------------

    def _json_batches(self) -> Iterator[pa.RecordBatch]:
        columns = self.layout.columns
        paths = [(name, tuple(name.split("."))) for name in columns]
        roots = {path[0] for _, path in paths} | set(columns)
        extras: dict[str, None] = {}
        seen: set[str] = set()
        rows: list[tuple[Any, ...]] = []
        number = 0
        for number, text, problem in _json_lines(self.path, self.layout):
            found: Any = None
            if problem is None:
                try:
                    found = json.loads(text, parse_float=_DeliveredNumber)
                except ValueError:
                    problem = "not_json"
                else:
                    problem = None if isinstance(found, dict) else "not_a_json_object"
            else:
                self._undecodable += 1
            if problem is not None:
                rows.append((number, problem, text, *(None for _ in columns), None))
            else:
                values = []
                for name, path in paths:
                    value, present = _value_at(found, name, path)
                    if present:
                        seen.add(name)
                    values.append(_as_text(value))
                beyond = {key: found[key] for key in found if key not in roots}
                extras.update(dict.fromkeys(beyond))
                rows.append(
                    (number, None, None, *values, json.dumps(beyond, ensure_ascii=False) if beyond else None)
                )
            if len(rows) >= BATCH_ROWS:
                yield self._from_tuples(rows)
                rows = []
        if number == 0:
            raise self._invalid("is empty; have it delivered again")
        self._refuse_other_encoding(number)
        self.extra_columns = tuple(extras)
        self.unseen_columns = tuple(name for name in columns if name not in seen)
        if rows:
            yield self._from_tuples(rows)

    def _from_tuples(self, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
        schema = record_schema(self.layout.columns)
        return pa.record_batch(
            [
                pa.array(values, kind)
                for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ],
            schema=schema,
        )


def iter_records(
    path: Path, layout: Layout, *, width: int | None = None, with_header: bool = False
) -> Iterator[Record]:
    """Give the records of a text file one by one, each with its raw text; the careful and slower way.

    A record whose quote stays open, or that spans lines and has not ``width`` columns, is broken at its first line
    and reading goes on with the next line. With ``with_header`` the header comes first, as number 0.
    """
    if layout.type == "json_lines":
        for number, text, problem in _json_lines(path, layout):
            yield Record(number, text, None, problem)
        return
    with _open(path) as raw:
        lines = _physical_lines(raw, layout)
        waiting: deque[bytes] = deque()
        number = 0 if layout.header else 1
        first = True
        while True:
            line = waiting.popleft() if waiting else next(lines, None)
            if line is None:
                return
            if first and line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8) :]
            if not line.strip(b"\r\n"):
                continue
            expected = None if (first and layout.header) else width
            record, unread = _gathered(line, lines, waiting, layout, expected, number)
            waiting.extendleft(reversed(unread))
            if number > 0 or with_header:
                yield record
            number += 1
            first = False


def raw_texts(
    path: Path, layout: Layout, numbers: Iterable[int], *, width: int | None = None
) -> dict[int, str]:
    """Give the raw text of some records by number, as they stand in the file."""
    wanted = set(numbers)
    last = max(wanted, default=0)
    found: dict[int, str] = {}
    for record in iter_records(path, layout, width=width) if wanted else ():
        if record.number in wanted:
            found[record.number] = record.text
        if record.number >= last:
            break
    return found


def _gathered(
    line: bytes,
    lines: Iterator[bytes],
    waiting: deque[bytes],
    layout: Layout,
    width: int | None,
    number: int,
) -> tuple[Record, list[bytes]]:
    """Give the record that begins with ``line`` and the lines read beyond it that must be read again."""
    parts = [line]
    quote = (layout.quote or "").encode()
    while True:
        try:
            text = b"".join(parts).decode(_codec(layout)).rstrip("\r\n")
        except UnicodeDecodeError:
            problem = f"undecodable: bytes that are not {layout.encoding}"
            return Record(number, _shown(line, layout), None, problem), parts[1:]
        values, is_open = _split(text, layout)
        if not is_open:
            if width is not None and values is not None and len(values) != width:
                if len(parts) > 1:
                    return Record(
                        number, _shown(line, layout), None, "open_quote: a quote is never closed"
                    ), parts[1:]
                return Record(number, text, None, _shape(width, len(values))), []
            return Record(number, text, values), []
        more = None
        while len(parts) < LONGEST_RECORD_LINES:
            more = waiting.popleft() if waiting else next(lines, None)
            if more is None:
                break
            parts.append(more)
            if quote in more:
                break
        else:
            more = None
        if more is None:
            found = len(values) if values else 0
            if width is not None and found != width and len(parts) == 1:
                return Record(number, text, None, _shape(width, found)), []
            return Record(number, _shown(line, layout), None, "open_quote: a quote is never closed"), parts[
                1:
            ]


def _split(text: str, layout: Layout) -> tuple[list[str] | None, bool]:
    """Give the values of a record and whether a quote is still open at its end."""
    dialect: dict[str, Any] = {"delimiter": layout.separator, "doublequote": True}
    if layout.quote:
        dialect["quotechar"] = layout.quote
    else:
        dialect["quoting"] = csv.QUOTE_NONE
    csv.field_size_limit(1 << 30)
    try:
        return next(csv.reader([text], strict=True, **dialect), []), False
    except csv.Error as wrong:
        values = next(csv.reader(text.splitlines(keepends=True), strict=False, **dialect), [])
        return values, "unexpected end of data" in str(wrong)


def _open(path: Path) -> IO[bytes]:
    if Path(path).suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return Path(path).open("rb")


def _codec(layout: Layout) -> str:
    # UTF-16 text is turned into UTF-8 before lines are cut: its line breaks are two bytes.
    return "utf-8" if _wide(layout) else layout.encoding


def _wide(layout: Layout) -> bool:
    return codecs.lookup(layout.encoding).name.startswith(("utf-16", "utf-32"))


def _shown(line: bytes, layout: Layout) -> str:
    return line.decode(_codec(layout), "backslashreplace").rstrip("\r\n")


def _physical_lines(raw: IO[bytes], layout: Layout) -> Iterator[bytes]:
    if _wide(layout):
        yield from (line.encode() for line in io.TextIOWrapper(raw, encoding=layout.encoding, newline="\n"))
    else:
        yield from raw


def _json_lines(path: Path, layout: Layout) -> Iterator[tuple[int, str, str | None]]:
    number = 0
    with _open(path) as raw:
        for line in _physical_lines(raw, layout):
            if number == 0 and line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8) :]
            if not line.strip():
                continue
            number += 1
            try:
                yield number, line.decode(_codec(layout)).rstrip("\r\n"), None
            except UnicodeDecodeError:
                yield number, _shown(line, layout), f"undecodable: bytes that are not {layout.encoding}"


def _shape(expected: int, found: int) -> str:
    return f"columns: {found} instead of {expected}"


def _taken(records: list[Record], upto: int | None) -> list[Record]:
    """Take the records up to a number out of the list."""
    taken = [r for r in records if upto is None or r.number <= upto]
    records[:] = [r for r in records if upto is not None and r.number > upto]
    return taken


def _next_numbers(start: int, count: int, broken: list[int]) -> np.ndarray:
    """Give ``count`` record numbers from ``start`` on, leaving out those of broken records."""
    later = [number for number in broken if number >= start]
    numbers = np.arange(start, start + count + len(later), dtype=np.int64)
    if later:
        numbers = numbers[~np.isin(numbers, np.array(later, dtype=np.int64))]
    return numbers[:count]


def _extra_json(rows: pa.RecordBatch) -> pa.Array:
    return pa.array([json.dumps(row, ensure_ascii=False) for row in rows.to_pylist()], pa.string())


class _DeliveredNumber(float):
    """A JSON number that remembers how it was written, so that 1.10 does not become 1.1."""

    text: str

    def __new__(cls, text: str) -> _DeliveredNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _value_at(found: dict[str, Any], name: str, path: tuple[str, ...]) -> tuple[Any, bool]:
    if name in found:
        return found[name], True
    value: Any = found
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None, False
        value = value[step]
    return value, True


def _as_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _DeliveredNumber):
        return value.text
    return json.dumps(value, ensure_ascii=False)


class _Utf8Stream(io.RawIOBase):
    """A byte stream turned into UTF-8, strictly, that counts the quotes passing through."""

    def __init__(self, raw: IO[bytes], layout: Layout) -> None:
        super().__init__()
        self._raw = raw
        self._quote = (layout.quote or "").encode()
        name = codecs.lookup(layout.encoding).name
        self._decoder = None if name in {"utf-8", "ascii"} else codecs.getincrementaldecoder(name)("strict")
        self._left = b""
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Give up to ``size`` bytes of the source's text in UTF-8."""
        if self._decoder is None:
            chunk = self._raw.read(size)
        else:
            chunk, is_end = self._left, False
            while not is_end and (size < 0 or len(chunk) < size):
                read = self._raw.read(size)
                is_end = not read
                chunk += self._decoder.decode(read, final=is_end).encode()
            chunk, self._left = (chunk, b"") if size < 0 else (chunk[:size], chunk[size:])
        if self._quote:
            self.quotes += chunk.count(self._quote)
        return chunk
