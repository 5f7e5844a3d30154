"""Records and files that are too large, too deep or no text: a refused record, or one sentence about the file."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.feeds.limits import Limits
from ingestion.inbox.archives import members, unpack
from ingestion.records import Layout, RecordReader, raw_texts
from lakehouse.errors import InputInvalid

JSON = Layout(("id", "day"), type="json_lines")
CSV = Layout(("id", "day"))


def problems(path, layout):
    """Give the problem of each record of a file."""
    batches = list(RecordReader(path, layout, name=path.name))
    return [problem for batch in batches for problem in batch.column("_problem").to_pylist()]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"id,day\np1,a\x00b\n", "nul"),
        ("a.csv", b"id,day\np\x001,\n", "nul"),
        ("a.csv", b"id,day,note\np1,,\x00\n", "nul"),
        ("a.csv", b"id,day\np1,a\\u0000\x01\x1b\x7f\n", None),
        ("a.csv", b'id,day\np1,"a\x00', "open_quote: a quote is never closed"),
        ("a.csv", b"id,day\np1\x00\n", "columns: 1 instead of 2"),
        ("a.jsonl", b'{"id":"p1","day":"\\u0000"}\n', "nul"),
        ("a.jsonl", b'{"id":"p1","day":"\\\\\\u0000"}\n', "nul"),
        ("a.jsonl", b'{"id":"p1","day":"\\\\u0000\\u0001"}\n', None),
        ("a.jsonl", b'{"id":"p1","day":{"a":["\\u0000"]}}\n', "nul"),
        ("a.jsonl", b'{"id":"p1","\\u0000":1}\n', "nul"),
        ("a.jsonl", b'{"id":"p1","day":"\x00"}\n', "not_json"),
    ],
)
def test_a_nul_in_a_record_refuses_it_and_is_shown_as_an_escape(tmp_path, name, content, problem):
    layout = CSV if name.endswith("csv") else JSON
    (tmp_path / name).write_bytes(content)
    rows = [row for batch in RecordReader(tmp_path / name, layout) for row in batch.to_pylist()]
    assert [row["_problem"] for row in rows] == [problem]
    texts = [*(row["_raw"] for row in rows), *raw_texts(tmp_path / name, layout, [1]).values()]
    assert all("\0" not in (text or "") for text in texts)


def test_a_nul_in_a_value_or_a_nested_value_of_parquet_refuses_its_record(tmp_path):
    rows = pa.table({"id": ["p1", "p\0002", "p3", "p4"], "day": [["a"], ["b"], ["c", "\0"], ["\\u0000\x01"]]})
    pq.write_table(rows, tmp_path / "a.parquet")
    assert problems(tmp_path / "a.parquet", Layout(CSV.columns, type="parquet")) == [None, "nul", "nul", None]


@pytest.mark.parametrize("before", [1, 300])
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id":"p1","day":' + "[" * 5_000 + "]" * 5_000 + "}", "too_deep: more than 100 levels"),
        ('{"id":"p1","note":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}", "too_deep: more than 100 levels"),
        ('{"id":"p1","day":' + "[" * 5_000, "too_deep: more than 100 levels"),
        ('{"id":"p1","day":"\\ud800"}', "undecodable: half a surrogate pair"),
        ('{"id":"p1","note":"\\uDC00x"}', "undecodable: half a surrogate pair"),
        ('{"id":"p1","\\ud800":1}', "undecodable: half a surrogate pair"),
        ('{"id":"p1","day":' + "9" * 5_000 + "}", "long_number"),
        ('{"id":"p1","day":' + "9" * 1_001 + "}", "long_number"),
        ('{"id":"p1","note":{"a":[1.' + "9" * 1_001 + "]}}", "long_number"),
        ('{"id":"p1","day":"' + "9" * 1_001 + '"}', None),
        ('{"id":"p1","day":NaN}', "not_json"),
        ('{"id":"p1","note":{"a":-Infinity}}', "not_json"),
        ('{"id":"p1","day":"a","day":"b"}', "duplicate_key"),
        ('{"id":"p1","day":"a","note":{"a":1,"\\u0061":2}}', "duplicate_key"),
        ('{"id":"p1","day":"' + "[{" * 500 + '"}', None),
        ('{"id":"\\ud83d\\ude00","day":"x"}', None),
    ],
)  # fmt: skip
def test_a_line_of_json_costs_itself_and_not_the_file(tmp_path, line, problem, before):
    file = tmp_path / "a.jsonl"
    good = '{"id":"p0","day":"x"}\n'
    file.write_text(good * before + line + "\n" + good)
    assert problems(file, JSON) == [None] * before + [problem, None]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "layout", "content"),
    [
        ("a.csv", CSV, b'id,day\np0,x\np1,"%s"\np2,"%s\np3,x\n'),
        ("a.jsonl", JSON, b'{"id":"p0"}\n{"id":"p1","day":"%s"}\n{"id":"p2","day":"%s"}\n{"id":"p3"}\n'),
    ],
)
def test_a_record_or_a_value_that_is_too_long_is_refused_by_itself(tmp_path, name, layout, content, suffix):
    file = tmp_path / (name + suffix)
    text = content % (b"y" * 5_000_000, b"z" * 30_000_000)
    file.write_bytes(gzip.compress(text, 1) if suffix else text)
    assert problems(file, layout) == [
        None, "too_long: a value has more than 4000000 bytes", "too_long: more than 8000000 bytes", None,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "start"), [(CSV, b"id,day\np0,x\n"), (JSON, b'{"id":"p0"}\n')])
def test_a_megabyte_of_gz_that_is_a_gigabyte_ends_at_the_limit(tmp_path, layout, start):
    file = tmp_path / "a.gz"
    with gzip.open(file, "wb", compresslevel=9) as out:
        out.write(start)
        for _ in range(1_000):
            out.write(b"\0" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputInvalid, match="unpacks to more than 200 times its size"):
            problems(file, layout)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


def bomb(file, kind):
    if kind == "zip":
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("a.csv", "w", force_zip64=True) as out,
        ):
            for _ in range(300):
                out.write(b"\0" * 1_000_000)
        return
    with tarfile.open(file, "w:gz") as archive:
        entry = tarfile.TarInfo("a.csv")
        entry.size = 300_000_000
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_is_a_bomb_or_holds_too_much_is_one_sentence(tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    bomb(file, kind)
    for act in (
        lambda limits: members(file, lambda _: True, name="a", limits=limits),
        lambda limits: unpack(file, ["a.csv"], tmp_path / "out", name="a", limits=limits),
    ):
        with pytest.raises(InputInvalid, match=r"^a: unpacks to more than 200 times its size"):
            act(Limits())
        with pytest.raises(InputInvalid, match=r"^a: holds more than 1,000 bytes"):
            act(Limits(file_bytes=1_000))


def sparse_tar(file, size):
    """Write a tar whose one member is a hole: its zeros stand nowhere."""
    header = bytearray(tarfile.TarInfo("a.csv").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"%011o\0" % size + b"%011o\0" % 0
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    file.write_bytes(bytes(header) + bytes(1_024))


def test_a_member_that_is_a_hole_is_counted_as_what_it_unpacks_to(tmp_path):
    file = tmp_path / "a.tar"
    sparse_tar(file, 150_000_000)
    with pytest.raises(InputInvalid, match=r"^a: unpacks to more than 200 times its size"):
        members(file, lambda _: True, name="a", limits=Limits())
    with pytest.raises(InputInvalid, match=r"^a: holds more than 20,000 bytes"):
        unpack(file, ["a.csv"], tmp_path / "out", name="a", limits=Limits(file_bytes=20_000))


def test_members_of_a_zip_are_counted_together(tmp_path):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.csv", "x" * 300)
    with pytest.raises(InputInvalid, match=r"^a: holds more than 1,000 bytes"):
        members(file, lambda _: True, name="a", limits=Limits(file_bytes=1_000))
    assert len(members(file, lambda _: True, name="a", limits=Limits(file_bytes=1_200))) == 4


@pytest.mark.parametrize("before", [0, 300])
def test_numbers_within_a_value_of_json_keep_their_digits(tmp_path, before):
    file = tmp_path / "a.jsonl"
    inner = '{"a": 12345678901234567890.12, "b": [1e400, 1.10], "c": -0.0}'
    plain = '{"a": 12345678901234567890.12, "b": 1.10}'
    lines = [f'{{"id":"p","day":{plain},"note":{plain}}}'] * before + [
        f'{{"id":"p","day":{inner},"note":{inner}}}'
    ]
    file.write_text("\n".join(lines) + "\n")
    rows = [row for batch in RecordReader(file, JSON, name="a") for row in batch.to_pylist()]
    assert (rows[-1]["day"], rows[-1]["_extra"]) == (inner, f'{{"note": {inner}}}')
    assert {(row["day"], row["_extra"]) for row in rows[:-1]} <= {(plain, f'{{"note": {plain}}}')}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_too_many_members_is_one_sentence(tmp_path, kind):
    file = tmp_path / "a"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for number in range(12):
                archive.writestr(f"{number}.csv", "id\n")
    else:
        with tarfile.open(file, "w") as archive:
            for number in range(12):
                archive.addfile(tarfile.TarInfo(f"{number}.csv"))
    with pytest.raises(InputInvalid, match=r"^a: holds more than 10 members"):
        members(file, lambda name: name == "0.csv", name="a", limits=Limits(members=10))
    assert len(members(file, lambda _: True, name="a", limits=Limits(members=12))) == 12


def test_a_header_is_read_in_the_time_of_its_columns_and_may_have_so_many(tmp_path):
    file = tmp_path / "a.csv"
    names = ["id", "day", *(f"c{number}" for number in range(19_998))]
    file.write_text(",".join(names) + "\n" + ",".join("1" * len(names)) + "\n")
    with pytest.raises(InputInvalid, match="has 20000 columns, more than 10000"):
        problems(file, CSV)
    start = time.monotonic()
    assert problems(file, Layout(CSV.columns, limits=Limits(columns=20_000))) == [None]
    assert time.monotonic() - start < 60, "it would be quadratic"


def test_json_with_ever_new_keys_is_one_sentence(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f'{{"id":"p{n}","k{n}":1}}\n' for n in range(12)))
    assert problems(file, JSON) == [None] * 12
    with pytest.raises(InputInvalid, match="has more than 10 different keys"):
        problems(file, Layout(JSON.columns, type="json_lines", limits=Limits(columns=10)))


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_flipped_bit_in_parquet_with_checksums_refuses_the_file_or_changes_nothing(tmp_path, compression):
    file, damaged = tmp_path / "a.parquet", tmp_path / "b.parquet"
    rows = pa.table({"id": [f"p{n}" for n in range(900)], "day": [f"day {n}" for n in range(900)]})
    pq.write_table(rows, file, compression=compression, write_page_checksum=True)
    content, chance = file.read_bytes(), np.random.default_rng(7)
    refused_count = 0
    for _ in range(120):
        bits = bytearray(content)
        bits[chance.integers(len(bits))] ^= 1 << int(chance.integers(8))
        damaged.write_bytes(bits)
        try:
            batches = list(RecordReader(damaged, Layout(("id", "day"), type="parquet"), name="b"))
        except InputInvalid as refusal:
            refused_count += 1
            assert "\n" not in str(refusal)
            continue
        assert pa.Table.from_batches(batches).select(["id", "day"]).equals(rows)
    assert refused_count > 60


def test_parquet_that_unpacks_to_too_much_is_one_sentence(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": ["x" * 1_000_000] * 150, "day": [""] * 150}),
        file,
        use_dictionary=False,
        compression="zstd",
    )
    with pytest.raises(InputInvalid, match="unpacks to more than 200 times its size"):
        problems(file, Layout(("id", "day"), type="parquet"))
