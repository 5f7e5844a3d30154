"""The proof that nothing changed sees what changes, and nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest
from click.testing import CliRunner

from benchmarks.unchanged import main
from benchmarks.unchanged_contents import content_of, steady
from benchmarks.unchanged_product import Answer
from benchmarks.unchanged_wrong_inputs import change_files, describe

ROWS = [
    {"key": "a", "amount": 1.5, "names": ["x", None], "seconds": 1},
    {"key": "b", "amount": None, "names": [], "seconds": 2},
    {"key": "", "amount": 0.1, "names": None, "seconds": 3},
]


def hash_of(rows, without=()):
    schema = pa.schema(
        {
            "key": pa.string(),
            "amount": pa.float64(),
            "names": pa.list_(pa.string()),
            "seconds": pa.int64(),
        }
    )
    return str(content_of(pa.Table.from_pylist(rows, schema=schema), without=without))


def test_the_order_of_rows_does_not_count():
    assert hash_of(ROWS) == hash_of(ROWS[::-1]) == hash_of([ROWS[1], ROWS[2], ROWS[0]])
    assert hash_of(ROWS).startswith("rows=3 hash=")


@pytest.mark.parametrize(
    "other_rows",
    [
        [*ROWS[:2], {**ROWS[2], "amount": 0.2}],
        [*ROWS[:2], {**ROWS[2], "key": None}],
        [{**ROWS[0], "names": ["x", ""]}, *ROWS[1:]],
        [*ROWS[:2], {**ROWS[2], "names": []}],
        [{**ROWS[0], "key": "b"}, {**ROWS[1], "key": "a"}, ROWS[2]],
        [*ROWS, ROWS[0]],
        [*ROWS, ROWS[0], ROWS[0]],
        ROWS[:2],
    ],
    ids=[
        "a value",
        "null for the empty text",
        "the same in a list",
        "an empty list for null",
        "values that change places",
        "a doubled row",
        "a row twice more",
        "a lost row",
    ],
)
def test_a_change_is_seen(other_rows):
    assert hash_of(other_rows) != hash_of(ROWS)


def test_a_volatile_column_does_not_count_and_the_type_of_another_does():
    later = [{**row, "seconds": 9} for row in ROWS]
    assert hash_of(later) != hash_of(ROWS)
    assert hash_of(later, without=["seconds"]) == hash_of(ROWS, without=["seconds"])
    narrow, wide = (pa.table({"n": pa.array([1], kind)}) for kind in (pa.int32(), pa.int64()))
    assert content_of(narrow) != content_of(wide)


def test_a_summary_is_compared_without_durations_at_any_depth():
    assert steady({"a": [{"seconds": 1, "n": 2}], "seconds": {}, "report": "/x"}) == {"a": [{"n": 2}]}


def test_comparing_shows_the_lines_that_differ(tmp_path):
    before, after, shuffled = (tmp_path / name for name in ("before", "after", "shuffled"))
    before.write_text("bank table a rows=1\nbank table b rows=2\n")
    shuffled.write_text("bank table b rows=2\nbank table a rows=1\n")
    after.write_text("bank table a rows=1\nbank table b rows=3\n")
    same = CliRunner().invoke(main, ["--compare", str(before), str(shuffled)], standalone_mode=False)
    assert (same.return_value, same.output) == (0, "nothing differs\n")
    other = CliRunner().invoke(main, ["--compare", str(before), str(after)], standalone_mode=False)
    assert (other.return_value, other.output) == (1, "-bank table b rows=2\n+bank table b rows=3\n")
    elsewhere = CliRunner().invoke(
        main, ["--compare", str(before), str(after), "--only", "berka"], standalone_mode=False
    )
    assert elsewhere.return_value == 0


def test_an_answer_stands_without_paths_and_without_the_clock(tmp_path):
    log = '{"at": "2026-11-27T01:00:00+0000", "level": "%s", "room": "cdp", "message": "m"}\n'
    answer = Answer(2, "", log % "info" + log % "warning" + f"cdp: {tmp_path}/cdp.yml:1: wrong\n")
    assert describe(answer, {tmp_path: "workspace"}) == (
        r'exit=2 stdout="" stderr="{\"at\": \"<clock>\", \"level\": \"warning\", \"room\": \"cdp\", '
        r'\"message\": \"m\"}\ncdp: <workspace>/cdp.yml:1: wrong"'
    )


def test_a_case_that_would_change_nothing_is_refused(tmp_path):
    (tmp_path / "cdp.yml").write_text("currency: CNY\n")
    change_files(tmp_path, {"replace": {"*.yml": {"CNY": "EUR"}}}, segment="")
    assert (tmp_path / "cdp.yml").read_text() == "currency: EUR\n"
    for wrong in ({"replace": {"*.yml": {"CNY": "EUR"}}}, {"remove": ["none"]}):
        with pytest.raises(ValueError, match=r"hold|nothing is called"):
            change_files(tmp_path, wrong, segment="")
