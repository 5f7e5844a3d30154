"""The record reader: numbers, raw text of broken records, strict decoding; none of it needs Spark."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.records import Layout, RecordReader, iter_records, raw_texts
from lakehouse.errors import InputInvalid

GOOD = None


@pytest.fixture
def read(tmp_path):
    """A function that writes bytes into a file and gives (number, problem, raw or values) per record."""

    def reading(data: bytes | str, columns="abc", name="sample.csv", **layout):
        path = tmp_path / name
        raw = data.encode() if isinstance(data, str) else data
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        reader = RecordReader(path, Layout(tuple(columns), **{"separator": ";", **layout}), name=name)
        rows = [row for batch in reader for row in batch.to_pylist()]
        reading.reader = reader
        return [
            (r["_row"], r["_problem"], r["_raw"] if r["_problem"] else tuple(r[c] for c in columns))
            for r in rows
        ]

    return reading


def test_records_are_numbered_without_header_and_blank_lines(read):
    assert read("a;b;c\r\n1;2;3\r\n\r\n4;;6\r\n") == [(1, GOOD, ("1", "2", "3")), (2, GOOD, ("4", None, "6"))]


def test_a_record_with_another_number_of_columns_is_broken_and_keeps_its_text(read):
    assert read("a;b;c\n1;2;3\n4;5\n6;7;8\n") == [
        (1, GOOD, ("1", "2", "3")),
        (2, "columns: 2 instead of 3", "4;5"),
        (3, GOOD, ("6", "7", "8")),
    ]


def test_a_cut_last_line_is_broken(read):
    assert read('a;b;c\n1;2;3\n4;"PRIJE')[-1] == (2, "columns: 2 instead of 3", '4;"PRIJE')


def test_a_last_record_of_the_right_shape_with_an_open_quote_is_broken(read):
    assert read('a;b;c\n1;2;3\n4;5;"PRIJE')[-1] == (2, "open_quote: a quote is never closed", '4;5;"PRIJE')


def test_an_open_quote_costs_its_own_line_and_no_other(read):
    assert read('a;b;c\n1;2;"3\n4;5;6\n7;8\n9;0;1\n') == [
        (1, "open_quote: a quote is never closed", '1;2;"3'),
        (2, GOOD, ("4", "5", "6")),
        (3, "columns: 2 instead of 3", "7;8"),
        (4, GOOD, ("9", "0", "1")),
    ]


def test_a_quoted_value_may_span_lines(read):
    assert read('a;b;c\n1;"two\nlines";3\n4;5;6\n') == [
        (1, GOOD, ("1", "two\nlines", "3")),
        (2, GOOD, ("4", "5", "6")),
    ]


def test_bytes_that_are_no_text_break_one_record(read):
    good = "".join(f"{n};x;y\n" for n in range(20)).encode()
    found = read(b"a;b;c\n" + good + b"1;\xff;3\n")
    assert [problem for _, problem, _ in found].count(GOOD) == 20
    assert found[-1] == (21, "undecodable: bytes that are not utf-8", "1;\\xff;3")


def test_a_file_in_another_encoding_is_refused_as_a_whole(read):
    with pytest.raises(InputInvalid, match=r"sample.csv: is not utf-8 text: 2 of 2 records"):
        read("a;b;c\n张;1;2\n赵;1;2\n".encode("gb18030"))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig"])
def test_declared_encodings_are_read(read, encoding):
    data = 'a;b;c\n张;"李\n王";3\n'.encode(encoding)
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    assert read(data, encoding=declared) == [(1, GOOD, ("张", "李\n王", "3"))]


def test_a_file_without_header_has_the_columns_of_the_feed(read):
    assert read("1;2;3\n4;5\n", header=False) == [
        (1, GOOD, ("1", "2", "3")),
        (2, "columns: 2 instead of 3", "4;5"),
    ]


def test_columns_may_come_in_another_order_and_more_of_them(read):
    assert read("c;x;a;b\n3;new;1;2\n") == [(1, GOOD, ("1", "2", "3"))]
    assert read.reader.extra_columns == ("x",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a;b;a\n1;2;3\n", "names the column 'a' twice"),
        (b"a;bb;c\n1;2;3\n", "has no column 'b' that the feed maps"),
        (b"\xff\xfe;b;c\n", "has a header that cannot be read as utf-8"),
    ],
)
def test_an_unusable_file_is_refused_in_one_sentence(read, data, said):
    with pytest.raises(InputInvalid, match=said):
        read(data)


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a;b;c\n" + b"1;2;3\n" * 1000)[:-12])
    with pytest.raises(InputInvalid, match="damaged or cut gzip"):
        list(RecordReader(path, Layout(("a", "b", "c"), separator=";")))


def test_json_lines_are_read_by_path_and_keep_numbers_as_written(read):
    lines = [
        '{"id": 1.10, "user": {"id": "u1"}, "props": {"n": 2.50}, "ok": true, "new": 1}',
        "",
        "{cut",
        "[1]",
        '{"id": 2}',
    ]
    columns = ["id", "user.id", "props", "ok", "never"]
    assert read("\n".join(lines), columns=columns, name="x.jsonl.gz", type="json_lines") == [
        (1, GOOD, ("1.10", "u1", '{"n": 2.50}', "true", None)),
        (2, "not_json", "{cut"),
        (3, "not_a_json_object", "[1]"),
        (4, GOOD, ("2", None, None, None, None)),
    ]
    assert read.reader.extra_columns == ("new",)
    assert read.reader.unseen_columns == ("never",)


def test_raw_texts_are_those_of_the_numbers(read, tmp_path):
    read('a;b;c\n1;"two\nlines";3\n\n4;5;6\n7;8;9\n')
    layout = Layout(("a", "b", "c"), separator=";")
    assert raw_texts(tmp_path / "sample.csv", layout, [1, 3], width=3) == {1: '1;"two\nlines";3', 3: "7;8;9"}


def test_the_fast_and_the_careful_reader_agree_on_files_cut_anywhere(read, tmp_path):
    """300 files of plain and quoted values, short and long records, cut at a random place: the same in both."""
    chance = np.random.default_rng(11)
    values = ["1", "", "x y", '"a;b"', '"two\nlines"', '"say ""hi"""', '""']
    layout = Layout(("a", "b", "c"), separator=";")
    for _ in range(300):
        widths = chance.choice([3, 3, 3, 3, 2, 4], size=12)
        body = "".join(";".join(chance.choice(values, size=width)) + "\n" for width in widths)
        body = body[: int(chance.integers(1, len(body)))]
        found = read("a;b;c\n" + body)
        careful = [
            (r.number, r.problem, r.text if r.problem else tuple(v or None for v in r.values or ()))
            for r in iter_records(tmp_path / "sample.csv", layout, width=3)
        ]
        assert found == careful, body


SIGNS = ["1", "x", ";", ";", '"', '"', "\n", "\r", "\r\n", "\x0b", "\x1c", "\u2028", "\x85", "a;b;c\n"]


@settings(max_examples=400, deadline=None)
@given(body=st.lists(st.sampled_from(SIGNS), max_size=16).map("".join), is_ended=st.booleans())
def test_both_readers_find_the_same_records_whatever_signs_stand_between(tmp_path_factory, body, is_ended):
    """What one of them loses or puts into another's value would be lost for some files only."""
    file = tmp_path_factory.mktemp("signs") / "x.csv"
    file.write_bytes(("a;b;c\n1;2;3\n" + body + ("\n7;8;9\n" if is_ended else "")).encode())
    layout = Layout(("a", "b", "c"), separator=";")
    fast = [
        (row["_row"], row["_problem"] is None, row["a"], row["b"], row["c"])
        for batch in RecordReader(file, layout, name="x.csv")
        for row in batch.to_pylist()
    ]
    careful = [
        (r.number, r.problem is None, *((v or None for v in r.values) if r.values else (None,) * 3))
        for r in iter_records(file, layout, width=3)
    ]
    assert fast == careful


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ('1;2;3\r4;5;6\n"7;8\n', [1, 2]),
        ('1;2;3\n"x\n"\r4;5;6\n', [1, 4]),
        ('1;2";"\n4;5;6\n', [2]),
        ('1;2";"\n4;5;6', [2]),
        ('1;2";"', []),
        ('1;2";"4', []),
        ('1;2";"4"', [1]),
        ('1;2";"4"""', [1]),
        ('1;2";""', [1]),
    ],
)
def test_no_record_is_lost_to_a_carriage_return_or_to_a_quote_that_stays_open(read, body, numbers):
    records = read("a;b;c\n" + body)
    assert [record[0] for record in records if record[1] == GOOD] == numbers


def test_an_escaped_quote_is_a_sign_of_the_value(read):
    data = 'a;b;c\n1;"say \\"hi\\"";3\n4;"ends in \\\\";6\n7;"8";9\n'
    assert read(data, escape="\\") == [
        (1, GOOD, ("1", 'say "hi"', "3")),
        (2, GOOD, ("4", "ends in \\", "6")),
        (3, GOOD, ("7", "8", "9")),
    ]
    assert read('a;b;c\n1;"\\"2;3\n4;5;6\n', escape="\\")[0] == (
        1,
        "open_quote: a quote is never closed",
        '1;"\\"2;3',
    )


def _parquet(tmp_path, **columns):
    path = tmp_path / "sample.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def _rows(path, *columns):
    reader = RecordReader(path, Layout(columns, type="parquet"), name=path.name)
    return reader, [tuple(row[c] for c in ("_row", *columns)) for b in reader for row in b.to_pylist()]


def test_parquet_values_become_the_text_their_source_would_have_written(tmp_path):
    path = _parquet(
        tmp_path,
        paid=pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        on=pa.array([dt.date(2026, 11, 20), None]),
        at=pa.array([dt.datetime(2026, 11, 20, 1, 2, 3), None], pa.timestamp("us", "UTC")),
        who=pa.array(["", "Li"]).dictionary_encode(),
        tags=pa.array([["a", "b"], None]),
        is_new=[True, False],
    )
    reader, rows = _rows(path, "paid", "on", "at", "who", "tags")
    assert rows == [
        (1, "1.10", "2026-11-20", "2026-11-20T01:02:03.000000Z", None, '["a", "b"]'),
        (2, None, None, None, "Li", None),
    ]
    assert reader.extra_columns == ("is_new",)
    assert raw_texts(path, Layout(("who", "paid"), type="parquet"), [2]) == {2: '{"who": "Li", "paid": null}'}


def test_a_parquet_file_that_cannot_be_used_says_so(tmp_path):
    path = _parquet(tmp_path, amount=pa.array([b"\xff\xfe"], pa.binary()))
    with pytest.raises(
        InputInvalid, match=r"has a column 'amount' of binary, which cannot be written as text"
    ):
        _rows(path, "amount")
    with pytest.raises(InputInvalid, match=r"no column 'amont' that the feed maps; did you mean 'amount'\?"):
        _rows(path, "amont")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputInvalid, match=r"sample.parquet: is no whole Parquet file"):
        _rows(path, "amount")
    path.write_bytes(b"")
    with pytest.raises(InputInvalid, match=r"sample.parquet: is empty"):
        _rows(path, "amount")


def test_a_day_of_no_calendar_within_a_value_of_parquet_costs_its_record(tmp_path):
    path = tmp_path / "x.parquet"
    days = pa.array([[1], [2**30], None], pa.list_(pa.date32()))
    unmapped = pa.array([2**30, 1, 1], pa.date32())
    pq.write_table(pa.table({"a": ["p1", "p2", "p3"], "b": days, "new": unmapped}), path)
    rows = [
        row
        for batch in RecordReader(path, Layout(("a", "b"), type="parquet"), name="x")
        for row in batch.to_pylist()
    ]
    assert [(row["_problem"], row["a"], row["b"]) for row in rows] == [
        (GOOD, "p1", '["1970-01-02"]'),
        ("unreadable:b", None, None),
        (GOOD, "p3", None),
    ]
    assert rows[1]["_raw"] == '{"a": "p2", "b": null}'
    assert [row["_extra"] for row in rows] == [None, None, '{"new": "1970-01-02"}']


@pytest.mark.parametrize("names", [["a", "b", "b"], ["a", "c", "c"]])
def test_two_columns_of_one_name_in_parquet_are_one_sentence(tmp_path, names):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["p1"])] * 3, names=names), path)
    with pytest.raises(InputInvalid, match=f"x: has two columns that are called '{names[2]}'"):
        list(RecordReader(path, Layout(("a",), type="parquet"), name="x"))


def test_an_instant_in_nanoseconds_is_cut_to_what_tables_hold(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": pa.array([1_600_000_000_123_456_789], pa.timestamp("ns", "UTC"))}), path)
    (batch,) = RecordReader(path, Layout(("a",), type="parquet"), name="x")
    assert batch.column("a").to_pylist() == ["2020-09-13T12:26:40.123456Z"]
