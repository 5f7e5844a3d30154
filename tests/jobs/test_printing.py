"""Rows on a terminal, as CSV and as JSON, and the rows of a statement that needs no workspace."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from jobs.cli import run
from jobs.cli.printing import print_rows, width_of
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


@pytest.mark.parametrize(
    ("text", "cells"), [("", 0), ("abc", 3), ("上海", 4), ("Ａ１", 4), ("ａb", 3), ("é", 1)]
)
def test_the_width_of_a_text_is_in_cells(text, cells):
    assert width_of(text) == cells


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
