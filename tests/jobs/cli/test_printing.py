"""Rows on a terminal, as CSV and as JSON, and the rows of a statement that needs no workspace."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from rich.cells import cell_len

from jobs.cli import run
from jobs.cli.printing import print_document, print_rows, table_lines
from jobs.report.statement import rows_of
from lakehouse.errors import UsageError

NAMES = ("城市", "people", "since")
ROWS = [("上海", 12, date(2026, 1, 5)), ("Xi'an, north", None, None)]


def test_a_table_is_aligned_where_chinese_characters_take_two_cells(capsys):
    print_rows(NAMES, ROWS, "table")
    output = capsys.readouterr()
    assert output.out == (
        "城市          people  since\n"
        "------------  ------  ----------\n"
        "上海          12      2026-01-05\n"
        "Xi'an, north\n"
    )  # fmt: skip
    assert output.err == "(2 rows)\n"


@pytest.mark.parametrize(("rows", "note"), [([], "(0 rows)\n"), ([(1,)], "(1 row)\n")])
def test_the_count_goes_to_stderr_so_that_a_pipe_gets_rows_only(capsys, rows, note):
    print_rows(["n"], rows, "table")
    assert capsys.readouterr().err == note


def test_csv_quotes_what_needs_it_and_leaves_nulls_empty(capsys):
    print_rows(NAMES, ROWS, "csv")
    output = capsys.readouterr()
    assert output.out == '城市,people,since\n上海,12,2026-01-05\n"Xi\'an, north",,\n'
    assert output.err == ""


def test_json_is_one_object_a_line_with_nulls_and_readable_characters(capsys):
    print_rows(NAMES, ROWS, "json")
    first, second = capsys.readouterr().out.splitlines()
    assert first == '{"城市": "上海", "people": 12, "since": "2026-01-05"}'
    assert json.loads(second) == {"城市": "Xi'an, north", "people": None, "since": None}


def test_a_table_is_as_wide_as_the_terminal_and_its_widest_columns_are_cut_first():
    names = ("code", "名称", "sql")
    rows = [("aum_tier", "上月日均资产分层标签", "case when aum < 10000 then 'T0' else 'T1' end")]
    lines, left_out = table_lines(names, rows, 40)
    assert lines == [
        "code      名称            sql",
        "--------  --------------  --------------",
        "aum_tier  上月日均资产…   case when aum…",
    ]
    assert left_out == 0 and max(cell_len(line) for line in lines) <= 40


def test_columns_for_which_there_is_no_room_are_left_out_and_counted(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    print_rows([f"column_{at}" for at in range(9)], [tuple("x" * 20 for _ in range(9))], "table")
    printed = capsys.readouterr()
    assert [line.count("…") for line in printed.out.splitlines()] == [0, 0, 3]
    assert printed.err == "(1 row; 6 columns are left out, --format csv has them)\n"


def test_a_value_gives_no_orders_to_the_terminal():
    lines, _ = table_lines(["name"], [["\x1b]0;owned\x07\nsecond line"]], None)
    assert lines[2] == "\\x1b]0;owned\\x07\\nsecond line"


DOCUMENT = {"code": "x", "lines": [{"text": "all of", "answer": None}, {"text": "tag", "answer": True}]}


def test_a_document_is_lines_one_object_or_a_row_for_each_value(capsys):
    print_document(DOCUMENT, ["one", "two"], "table")
    assert capsys.readouterr().out == "one\ntwo\n"
    print_document(DOCUMENT, [], "json")
    assert json.loads(capsys.readouterr().out) == DOCUMENT
    print_document(DOCUMENT, [], "csv")
    assert capsys.readouterr().out == (
        "field,value\ncode,x\nlines.0.text,all of\nlines.0.answer,\nlines.1.text,tag\nlines.1.answer,True\n"
    )


def test_a_statement_without_tables_needs_no_workspace(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    answer = rows_of("select 1 as n, 1.50::decimal(9,2) as money union all select 2, null order by 1", None)
    assert (answer.columns, answer.rows) == (("n", "money"), [(1, Decimal("1.50")), (2, None)])


def test_what_duckdb_refuses_is_one_sentence():
    with pytest.raises(UsageError, match=r"^the SQL failed: Binder Error: .*nothing") as refusal:
        rows_of("select nothing", None)
    assert "\n" not in str(refusal.value)


def test_a_workspace_without_publication_says_what_to_run(make_workspace, capsys):
    folder = make_workspace()
    assert run(["sql", "select * from tags.customer_tags", "--workspace", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"cdp: nothing was published yet in {folder}; run `cdp nightly --date D` first\n"
    )
