"""Delimited text (CSV and its kin) by ``pyarrow.csv``, with what it cannot split numbered and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ingestion.records.careful import iter_records
from ingestion.records.layout import (
    BATCH_ROWS,
    ROW,
    DeliveredText,
    Record,
    record_schema,
    without_line_end,
    wrong_width,
)
from ingestion.records.opening import Utf8Stream, open_bytes
from lakehouse.settings.yaml_files import did_you_mean

BLOCK_BYTES = 8 << 20


class DelimitedReader:
    """The records of one delimited file as batches of ``record_schema``."""

    def __init__(self, text: DeliveredText) -> None:
        self.text, self.layout, self.findings = text, text.layout, text.findings

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        names = self._names()
        yielded = 0
        waiting: pa.RecordBatch | None = None
        last_value: str | None = None
        with open_bytes(self.text.path, self.layout.limits) as raw:
            stream = Utf8Stream(raw, self.layout)
            broken_records: list[Record] = []
            torn: list[int] = []
            try:
                for rows in self._arrow_reader(stream, names, broken_records, torn):
                    if rows.num_rows:
                        last_value = rows.column(rows.num_columns - 1)[-1].as_py()
                    if waiting is not None:
                        yield waiting
                        yielded += waiting.num_rows
                    limit = min(torn, default=None)
                    numbers = _next_numbers(
                        yielded + 1, rows.num_rows, sorted(r.number for r in broken_records)
                    )
                    fit = rows.num_rows if limit is None else int(np.searchsorted(numbers, limit))
                    end = int(numbers[fit - 1]) if fit else yielded
                    upto = (limit - 1) if limit is not None else end
                    waiting = self._merge(
                        rows.slice(0, fit), numbers[:fit], _take(broken_records, upto), names
                    )
                    if limit is not None:
                        break
                else:
                    rest = _take(broken_records, None)
                    last = max((r.number for r in rest), default=0)
                    if rest:
                        waiting = self._join(waiting, self._from_records(rest, names))
                    is_open = stream.ends_within_quote(last_value) or without_line_end(
                        self.layout, stream.last_bytes
                    )
                    is_last = waiting is not None and waiting.num_rows > 0 and not torn
                    # A quote or the last line is open at the end. A last record already handed over as broken
                    # explains it; a last record of the right shape is cut all the same and must be looked at.
                    if is_open and is_last and waiting is not None and last != yielded + waiting.num_rows:
                        torn.append(yielded + waiting.num_rows)
                        waiting = waiting.slice(0, waiting.num_rows - 1)
            except (pa.ArrowInvalid, UnicodeDecodeError):
                torn.append(yielded + (waiting.num_rows if waiting is not None else 0) + 1)
        self.findings.trailer = stream.trailer
        if waiting is not None and waiting.num_rows:
            yield waiting
            yielded += waiting.num_rows
        if torn:
            yield from self._careful_batches(names, start=yielded + 1)

    def _names(self) -> list[str]:
        """Give the file's column names: from its header, checked against the layout, else the layout's own."""
        if not self.layout.header:
            if next(iter_records(self.text.path, self.layout), None) is None:
                raise self.text.invalid("is empty; have it delivered again")
            return list(self.layout.columns)
        first = next(iter_records(self.text.path, self.layout, with_header=True), None)
        if first is None:
            raise self.text.invalid("is empty; have it delivered again")
        if first.values is None:
            raise self.text.invalid(
                f"has a header that cannot be read as {self.layout.encoding}; check 'format' of the feed"
            )
        names = [name.strip() for name in first.values]
        most = self.layout.limits.columns
        if len(names) > most:
            raise self.text.invalid(
                f"has {len(names)} columns, more than {most} (limits: columns of the feed)"
            )
        counts = Counter(names)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise self.text.invalid(f"names the column '{twice[0]}' twice in its header")
        for column in self.layout.columns:
            if column not in counts:
                raise self.text.invalid(
                    f"has no column '{column}' that the feed maps{did_you_mean(column, names)}; "
                    "have it delivered again or change 'columns' of the feed"
                )
        columns = set(self.layout.columns)
        self.findings.extra_columns = tuple(name for name in names if name not in columns)
        return names

    def _arrow_reader(
        self, stream: Utf8Stream, names: list[str], broken_records: list[Record], torn: list[int]
    ) -> Iterator[pa.RecordBatch]:
        shift = 1 if self.layout.header else 0

        def refuse(row: Any) -> str:
            number = row.number - shift
            line = row.text.removesuffix("\n").removesuffix("\r")
            if "\n" in line or "\r" in line:
                torn.append(number)
            else:
                broken_records.append(
                    Record(number, row.text, None, wrong_width(row.expected_columns, row.actual_columns))
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
                escape_char=self.layout.escape or False,
                newlines_in_values=self.layout.quote is not None,
                invalid_row_handler=refuse,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,  # the stream has
            ),
        )
        header = self.layout.header
        for batch in reader:
            if header and batch.num_rows:
                batch, header = batch.slice(1), False
            yield batch

    def _merge(
        self, rows: pa.RecordBatch, numbers: np.ndarray, broken_records: list[Record], names: list[str]
    ) -> pa.RecordBatch:
        """Give rows and broken records as one batch in the order of the file."""
        nothing = pa.nulls(rows.num_rows, pa.string())
        extra = (
            _extra_json(rows.select(self.findings.extra_columns)) if self.findings.extra_columns else nothing
        )
        columns = [rows.column(name) for name in self.layout.columns]
        whole = pa.record_batch(
            [pa.array(numbers), nothing, nothing, *columns, extra], schema=record_schema(self.layout.columns)
        )
        if not broken_records:
            return whole
        both = self._join(whole, self._from_records(broken_records, names))
        return both.take(pc.sort_indices(both.column(ROW)))

    def _join(self, first: pa.RecordBatch | None, second: pa.RecordBatch) -> pa.RecordBatch:
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
            json.dumps({n: r.values[at[n]] for n in self.findings.extra_columns}, ensure_ascii=False)
            if r.values and self.findings.extra_columns
            else None
            for r in records
        ]
        return pa.record_batch(
            [*columns, pa.array(extra, pa.string())], schema=record_schema(self.layout.columns)
        )

    def _careful_batches(self, names: list[str], *, start: int) -> Iterator[pa.RecordBatch]:
        waiting: list[Record] = []
        last = 0
        trailer: list[str] = []
        for record in iter_records(self.text.path, self.layout, width=len(names), trailer=trailer):
            last = record.number
            self.findings.undecodable += record.problem is not None and record.problem.startswith(
                "undecodable"
            )
            if record.number < start:
                continue
            waiting.append(record)
            if len(waiting) >= BATCH_ROWS:
                yield self._from_records(waiting, names)
                waiting = []
        self.text.refuse_other_encoding(last)
        self.findings.trailer = next(iter(trailer), None)
        if waiting:
            yield self._from_records(waiting, names)


def _take(records: list[Record], upto: int | None) -> list[Record]:
    """Take the records up to a number out of the list."""
    first = [r for r in records if upto is None or r.number <= upto]
    records[:] = [r for r in records if upto is not None and r.number > upto]
    return first


def _next_numbers(start: int, count: int, broken_numbers: list[int]) -> np.ndarray:
    """Give ``count`` record numbers from ``start`` on, leaving out those of broken records."""
    later = [number for number in broken_numbers if number >= start]
    numbers = np.arange(start, start + count + len(later), dtype=np.int64)
    if later:
        numbers = numbers[~np.isin(numbers, np.array(later, dtype=np.int64))]
    return numbers[:count]


def _extra_json(rows: pa.RecordBatch) -> pa.Array:
    return pa.array([json.dumps(row, ensure_ascii=False) for row in rows.to_pylist()], pa.string())
