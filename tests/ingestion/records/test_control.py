"""A file held against its own end: the line end of its last record, its trailer, the control file beside it."""

from __future__ import annotations

import gzip
import os
from datetime import date

import pytest

from ingestion.feeds.feeds import read_feed
from ingestion.inbox.inbox import find_files
from ingestion.records import Layout, RecordReader, raw_texts
from ingestion.records.careful import iter_records
from ingestion.records.layout import CUT
from ingestion.records.reading import read_files
from ingestion.records.record_files import RecordFiles
from lakehouse.errors import SettingsInvalid

D = date(2026, 11, 18)
LINES = b"id,amount\np1,1.00\np2,25000.00\n"


def records(path, layout):
    """Give number, id and problem of each record, by the reader and by the careful way."""
    rows = [row for batch in RecordReader(path, layout) for row in batch.to_pylist()]
    careful = [(r.number, r.problem) for r in iter_records(path, layout, width=2)]
    assert [(row["_row"], row["_problem"]) for row in rows] == careful
    return [(row["_row"], row["id"], row["_problem"]) for row in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_last_record_without_a_line_end_is_refused(tmp_path, suffix, encoding):
    file = tmp_path / f"a.csv{suffix}"
    layout = Layout(("id", "amount"), encoding=encoding, line_end="required")
    for text, problem in [(LINES, None), (LINES[:-4], CUT), (LINES[:-1], CUT), (LINES[:-1] + b"\r\n", None),
                          (b"id,amount\np1,1\n\"p\n2\",25000", CUT), (LINES + b"\n\n", None)]:  # fmt: skip
        content = text.decode().encode(encoding)
        file.write_bytes(gzip.compress(content) if suffix else content)
        expected = [(1, "p1", None), (2, None if problem else "p2", problem)]
        assert records(file, layout) == expected
        if problem:
            assert text.decode().split("\n", 2)[2] == raw_texts(file, layout, [2])[2]
            assert records(file, Layout(("id", "amount"), encoding=encoding))[1][2] is None


def test_a_cut_record_of_another_width_keeps_that_reason(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,amount\np1,1.00\np2")
    layout = Layout(("id", "amount"), line_end="required")
    assert records(file, layout)[1] == (2, None, "columns: 1 instead of 2")


FEED = """\
feed: f
source: s
description: d
mode: events
files: {path: "f/{date}/a*.csv"}
columns: [id, amount]
control: CONTROL
targets: []
"""


@pytest.fixture
def fault(tmp_path):
    """A function that delivers a file with a control and gives what it is refused for, or the number of its records."""

    def give(control, content, beside=None):
        (tmp_path / "f.yml").write_text(FEED.replace("CONTROL", control))
        feed = read_feed(tmp_path / "f.yml")
        folder = tmp_path / "inbox" / "f" / D.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.csv").write_bytes(content)
        for name, text in (beside or {}).items():
            (folder / name).write_bytes(text)
        files, _ = find_files(feed, tmp_path / "inbox", until=D)
        reading = read_files(RecordFiles(feed, tmp_path / "records"), files)[0]
        return reading.fault or reading.records

    return give


TRAILER = '{trailer: "T", rows: 2, sums: {amount: 3}}'
SUMS = "holds records whose amount does not add up to what its control states"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (b"T,2,25001.00\n", 2),
        (b"T,2,25001.00", 2),
        (b'"T","2","25001.0"\r\n\n', 2),
        (b"T,3,25001.00\n", "holds 2 records and its control states 3; have it delivered again"),
        (b"T,2,25001.01\n", f"{SUMS}; have it delivered again"),
        (b"p3,x\nT,3,25002.00\n", f"{SUMS} (1 values are no plain numbers); have it delivered again"),
        (b"p3\nT,3,25001.00\n", 3),
        (b"T,2\n", "has a control without the sum of amount at place 3; have it delivered again"),
        (b"", "does not end with its trailer, a line that begins with 'T'; it is cut, have it delivered again"),
        (b'"open\nT,3,25001.00\n', 3),
    ],
)  # fmt: skip
def test_a_trailer_that_says_something_else_refuses_the_file(fault, end, said):
    assert fault(TRAILER, LINES + end) == said


def test_a_trailer_of_a_file_without_records_and_of_a_long_one(fault):
    assert fault(TRAILER, b"id,amount\nT,0,0\n") == 0
    many = b"".join(b"p%d,0.10\n" % n for n in range(900_000))
    assert fault(TRAILER, b"id,amount\n" + many + b"T,900000,90000.00\n") == 900_000


BESIDE = '{file: "{stem}.ctl", rows: 1, sums: {amount: 2}}'
NAMED = '{file: "{name}.ok", rows: count, sums: {amount: total}}'


@pytest.mark.parametrize(
    ("control", "beside", "said"),
    [
        (BESIDE, {"a.ctl": b"2,25001.00\n"}, 2),
        (BESIDE, {"a.ctl": b"2,5001.00\n"}, f"{SUMS}; have it delivered again"),
        (BESIDE, {}, "comes without its control file a.ctl; have that delivered"),
        (BESIDE, {"a.ctl": b"\xff"}, "its control file a.ctl is not utf-8 text"),
        (BESIDE, {"a.ctl": b"1" * 100_000}, "its control file a.ctl is larger than 65536 bytes"),
        (NAMED, {"a.csv.ok": b"count = 2\ntotal: 25001\n"}, 2),
        (NAMED, {"a.csv.ok": b'{"count": 2, "total": 25001.00}'}, 2),
        (NAMED, {"a.csv.ok": b'{"count": [2]}'}, "has a control without the number of records at 'count'; have it delivered again"),
        (NAMED, {"a.csv.ok": b"{" * 9_000}, "its control file a.csv.ok is no JSON"),
    ],
)  # fmt: skip
def test_a_control_file_that_says_something_else_refuses_the_file(fault, control, beside, said):
    assert fault(control, LINES, beside) == said


def test_a_control_file_that_comes_later_makes_its_file_another_one(fault, tmp_path):
    feed_hash = []
    for beside in (None, {"a.ctl": b"9,9"}, {"a.ctl": b"2,25001.00"}):
        fault(BESIDE, LINES, beside)
        files, _ = find_files(read_feed(tmp_path / "f.yml"), tmp_path / "inbox", until=D)
        feed_hash.append(files[0].sha256)
    assert len(set(feed_hash)) == 3


@pytest.mark.timeout(20)
def test_a_control_that_is_no_file_is_missing_and_nobody_waits_for_it(fault, tmp_path):
    """A pipe that nobody writes to would hold the night for ever."""
    folder = tmp_path / "inbox" / "f" / D.isoformat()
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a.csv.ctl")
    assert "comes without its control file a.csv.ctl" in str(fault('{file: "{name}.ctl", rows: 1}', LINES))


def test_a_control_file_may_not_be_a_link_out_of_the_inbox(fault, tmp_path):
    fault(BESIDE, LINES)
    (tmp_path / "inbox" / "f" / D.isoformat() / "a.ctl").symlink_to("/etc/hostname")
    assert "leads out of the inbox" in fault(BESIDE, LINES)


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ("{rows: 1}", "either 'trailer' or 'file'"),
        ("{trailer: T}", "control tells 'rows', 'sums' or both"),
        ("{trailer: T, rows: 1}", "a trailer's first value is its mark"),
        ("{trailer: T, rows: count}", "write the place of 'count'"),
        ("{trailer: T, sums: {amont: 2}}", "control sums 'amont', which is no delivered column; did you mean 'amount'?"),
        ('{file: "../{stem}.ctl", rows: 1}', "control.file"),
    ],
)  # fmt: skip
def test_a_control_that_cannot_be_found_is_refused(fault, control, said):
    with pytest.raises(SettingsInvalid) as wrong:
        fault(control, LINES)
    assert said in str(wrong.value)
