"""JSON lines read in columns and one by one are the same records."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.feeds.limits import Limits
from ingestion.records import Layout, RecordReader, json_lines
from ingestion.records.json_cuts import can_be_cut, make_cut, read_cut
from ingestion.records.json_shapes import shape_of
from ingestion.records.line_blocks import LineBlock, line_blocks

COLUMNS = ("id", "user.id", "amount", "flag", "user", "a.b.c")
TEXTS = st.text(st.sampled_from('ab"\\/,:{}[] \u00e9名\u2028😀\t\x1f\x7f0'), max_size=4)
NUMBERS = st.sampled_from(
    ["0", "-0", "1.10", "-1.5e+3", "12", "1E5", "123456789012345678", "1234567890123456789", "9" * 40, "0.0",
     "-0.0", "1" * 5000, "01", "1.", "NaN", "-Infinity", "1e999"]
)  # fmt: skip
LEAVES = st.one_of(
    TEXTS.map(lambda t: json.dumps(t, ensure_ascii=False)),
    TEXTS.map(json.dumps),
    NUMBERS,
    st.sampled_from(["null", "true", "false", '"null"', '""', "[]", '["x"]', "{}", '{"id": 7}', '{"b": {}, "t": "", "n": null, "f": true}', '{"b": {"c": 1.0}}']),
)  # fmt: skip
KEYS = st.sampled_from(
    ["id", "user.id", "amount", "flag", "user", "a", "extra", "b", "名", "a b", 'q"x', "Id"]
)
MEMBERS = st.lists(st.tuples(KEYS, LEAVES), min_size=0, max_size=5)
SPACES = st.sampled_from(["", " ", "\t", "  "])


def written(members, space):
    inner = f",{space}".join(
        f"{json.dumps(key, ensure_ascii=False)}{space}:{value}" for key, value in members
    )
    return f"{space}{{{inner}{space}}}{space}"


LINES = st.one_of(
    st.builds(written, MEMBERS, SPACES),
    st.sampled_from(["", "   ", "\x0b", "[]", "7", '{"id": "cut', '{"id": "x"} trailing', '{"id": "x",}', "\r", "nul"]),
)  # fmt: skip


def lines_of(data):
    return LineBlock.of(np.frombuffer(data, dtype=np.uint8))


def read(path, columns=COLUMNS):
    reader = RecordReader(path, Layout(columns=columns, type="json_lines"))
    rows = [row for batch in reader for row in batch.to_pylist()]
    return rows, reader.records, reader.broken, set(reader.extra_columns), set(reader.unseen_columns)


def both_ways(path, monkeypatch):
    monkeypatch.setattr(json_lines, "FEWEST_LINES", 1)
    fast = read(path)
    monkeypatch.setattr(json_lines, "FEWEST_LINES", 1 << 60)
    return fast, read(path)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_lines_of_any_kind(tmp_path_factory, lines, ending, is_ended, is_bad):
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    # Every line three times, so that lines met before are recognised.
    text = ending.join([*lines, *lines, '{"id": "last"}', *lines]) + (ending if is_ended else "")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + (b'{"id": "\xff"}\n' if is_bad and is_ended else b""))
    with pytest.MonkeyPatch.context() as patch:
        fast, careful = both_ways(path, patch)
    assert fast == careful


def test_blocks_number_on_and_bad_bytes_cost_their_block_only(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 1000)
    lines = [f'{{"id": "é{n}", "amount": {n}.50, "user": {{"id": {n}}}}}' for n in range(500)]
    lines[100:100] = ["", "{cut", "   "]
    data = "\n".join(lines).encode().replace("é333".encode(), b"\xff333")
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    monkeypatch.setattr(json_lines, "FEWEST_LINES", 1)
    columns = ("id", "amount", "user.id")
    fast = read(path, columns)
    monkeypatch.setattr(json_lines, "FEWEST_LINES", 1 << 60)
    assert fast == read(path, columns)
    rows = fast[0]
    assert (fast[1], fast[2]) == (501, 2)
    assert rows[0] == {"_row": 1, "_problem": None, "_raw": None, "id": "é0", "amount": "0.50", "user.id": "0", "_extra": None}  # fmt: skip
    assert [row["_row"] for row in rows if row["_problem"]] == [101, 335]


def test_a_cut_takes_just_the_lines_that_are_like_its_own():
    line = '{"id":"a","amount":1.50,"user":{"id":7},"new":"x"}'
    own = [
        line,
        line.replace('"a"', '""'),
        line.replace('"a"', '"null, {名: 1}"'),
        line.replace("1.50", "-2e-3"),
        line.replace("1.50", "null"),
        line + "\r",
    ]
    others = [
        "",
        "  ",
        line.replace('"a"', "null"),
        line.replace('"a"', '"\\u0061"'),
        line.replace("1.50", "01"),
        line.replace("1.50", "1.50 "),
        line.replace("1.50", "true"),
        line.replace("1.50", '1.50,"amount":2'),
        line.replace('"new"', '"old"'),
        line.replace('"id":"a"', '"di":"a"'),
        line.replace("7", "1234567890123456789"),
        line[:-1],
        line + "}",
        line.replace('"x"', '"x"y"'),
    ]
    mixed = [text for pair in zip(own, others, strict=False) for text in pair] + others[len(own) :] + own
    block = lines_of("".join(f"{text}\n" for text in mixed).encode())
    shape = shape_of(line, ("id", "user.id", "amount", "flag", "a.b.c"))
    assert can_be_cut(block)
    lines = read_cut(make_cut(line, shape), block)
    assert [mixed[place] for place in lines.places] == [text for text in mixed if text in own]
    rows = list(zip(*(column.to_pylist() for column in lines.columns), strict=True))
    assert rows[0] == ("a", "7", "1.50", None, None, '{"new": "x"}')
    assert [row[0] for row in rows[1:3]] == [None, "null, {名: 1}"]
    assert [row[2] for row in rows[3:5]] == ["-2e-3", None]


def test_an_object_that_is_one_value_is_written_as_json():
    line = '{"id":"a","props":{"os":"ios","n":7,"more":{}, "is":{"new":true}},"new":{"x":null}}'
    lines = [line, line.replace("7", "null").replace('"ios"', '""').replace(":{}, ", ":{},")]
    lines += [line.replace("7", "8").replace("true", "false").replace('"ios"', '""')]
    block = lines_of("".join(f"{text}\n" for text in lines).encode())
    columns = read_cut(make_cut(line, shape_of(line, ("id", "props"))), block).columns
    assert [column.to_pylist() for column in columns] == [
        ["a", "a"],
        [
            '{"os": "ios", "n": 7, "more": {}, "is": {"new": true}}',
            '{"os": "", "n": 8, "more": {}, "is": {"new": false}}',
        ],
        ['{"new": {"x": null}}'] * 2,
    ]


@pytest.mark.parametrize(
    "block", ['{"id":"a\tb"}\n', '{"id":\r"a"}\n', '\ufeff{"id":"a"}\n', '{"id":"a\x00"}\n']
)
def test_a_block_with_signs_a_reader_takes_in_its_own_way_is_not_cut(block):
    assert not can_be_cut(lines_of(block.encode()))


def test_bytes_that_are_no_text_are_told():
    assert not lines_of(b'{"id":"\xff"}\n').is_text()
    assert lines_of('{"id":"名"}\n'.encode()).is_text()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    "data", [b"", b"\n", b"a", b"a\n", b"\xef\xbb\xbfa\nbcdefgh\n\nij", b"\xef\xbb\xbf", b"ab\r\nc\r\n"]
)
def test_blocks_of_any_size_hold_the_lines_of_the_file(tmp_path, data, size):
    for name, written in (("x", data), ("x.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(written)
        lines = [
            block.line(at)
            for block in line_blocks(tmp_path / name, size, Limits())
            for at in range(len(block))
        ]
        plain = data.removeprefix(b"\xef\xbb\xbf")
        assert lines == [line + b"\n" for line in plain.removesuffix(b"\n").split(b"\n") if plain]


def test_lines_selected_of_a_block_are_a_block():
    block = lines_of(b"a\nbc\n\ndef\n")
    selected = block.select(np.array([1, 3]))
    assert [selected.line(at) for at in range(len(selected))] == [b"bc\n", b"def\n"]
    assert len(block.select(np.array([], dtype=np.int64))) == 0


def test_lines_of_many_shapes_are_read_whatever_way_takes_them(tmp_path, monkeypatch):
    lines = []
    for n in range(400):
        members = {"id": f"é{n}", "amount": n, "flag": n % 3 == 0, "extra": "x"}
        if n % 5 == 0:
            members["id"] = None
        if n % 7 == 0:
            del members["flag"]
        if n % 11 == 0:
            members = dict(sorted(members.items()))
        lines.append(json.dumps(members, separators=(",", ":") if n % 13 else None, ensure_ascii=n % 17 == 0))
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    fast, careful = both_ways(path, monkeypatch)
    assert fast == careful
    assert fast[1] == 400


@pytest.mark.parametrize(
    ("line", "is_cut"),
    [
        ('{"id": "x", "amount": 1.10}', True),
        ('{"id": "x", "new": "y"}', True),
        ('{"user": {"id": 1}, "q x": {}}', True),
        ('{"amount": 1.5, "b": {"id": 2}}', True),
        ('{"id": "x", "new": 1.10}', True),
        ('{"user": {"id": 1.10}}', True),
        ('{"id": [1]}', False),
        ('{"id": 1, "id": 2}', False),
        ("{}", False),
    ],
)
def test_what_a_cut_is_made_of(line, is_cut):
    shape = shape_of(line, COLUMNS)
    assert (shape is not None and make_cut(line, shape) is not None) is is_cut


def test_app_events_are_read_by_cuts(tmp_path, monkeypatch):
    """Events with an object of properties, and with null in two places, need no line read alone."""
    lines = []
    for n in range(1000):
        item = {"id": f"WM{n}", "class": "wealth"} if n % 3 else {"id": None, "class": None}
        event = {"id": f"E{n}", "user": {"id": f"U{n}"}, "item": item, "props": {"version": "8.3"}}
        lines.append(json.dumps(event, separators=(",", ":")))
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    columns = ("id", "user.id", "item.id", "item.class", "props")
    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "decode_line", None)
        fast = read(path, columns)
    monkeypatch.setattr(json_lines, "FEWEST_LINES", 1 << 60)
    assert fast == read(path, columns)
