"""A site's own expectations: read with file and line, judged at the gate by either engine, and nothing of a row is told."""

from __future__ import annotations

from datetime import date

import pytest

from lakehouse.errors import GateStopped, SettingsInvalid, StepFailed
from lakehouse.gates.expectations import check_expectations, check_suites
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

D = date(2026, 3, 20)
TABLE = "trusted.products"


def suite(entry: str, *, over: str = "all") -> str:
    return f"over: {over}\nexpectations:\n{entry}"


NOT_NULL = """\
  - type: expect_column_values_to_not_be_null
    kwargs: {column: name, mostly: 0.9}
    why: every product has a name
"""


@pytest.fixture
def workspace(make_workspace):
    def make(text: str, name: str = f"{TABLE}.yml"):
        return load_settings(make_workspace({f"expectations/{name}": text}))

    return make


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "keys 'over' and 'expectations'"),
        ("expectations: []", "expectations"),
        (suite("  - {kwargs: {column: name}, why: w}"), "type"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: name}}"), "why"),
        (suite("  - {type: expect_column_values_to_not_be_nul, kwargs: {column: name}, why: w}"), "there is no expectation .*did you mean 'expect_column_values_to_not_be_null'"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: nam}, why: w}"), "trusted.products has no column 'nam'.*did you mean 'name'"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: name, mostyl: 1}, why: w}"), "takes no 'mostyl'; did you mean 'mostly'"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: name, mostly: 7}, why: w}"), "'expect_column_values_to_not_be_null': mostly"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {}, why: w}"), "column"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: name}, why: w, severity: loud}"), "severity"),
        (suite("  - {type: unexpected_rows_expectation, kwargs: {unexpected_rows_query: select 1}, why: w}"), "there is no expectation"),
        (suite("  - {type: expect_column_values_to_not_be_null, kwargs: {column: name, row_condition: '@__import__(\"os\")', condition_parser: pandas}, why: w}"), "takes no 'row_condition'"),
        (suite("  - {type: expect_query_results_to_match_comparison, kwargs: {base_query: select 1}, why: w}"), "there is no expectation"),
        (suite("  - {type: expect_column_values_to_be_between, kwargs: {column: name, min_value: {$PARAMETER: now}}, why: w}"), "is a value or a list"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence_with_file_and_line(workspace, text, message):
    with pytest.raises(SettingsInvalid, match=message) as wrong:
        check_suites(workspace(text))
    assert wrong.value.exit_code == 2
    assert str(wrong.value.file).endswith(f"expectations/{TABLE}.yml")
    assert wrong.value.line is not None
    assert "\n" not in wrong.value.message


def test_a_file_is_called_after_a_table(workspace):
    with pytest.raises(SettingsInvalid, match=r"called after no table of .*did you mean 'trusted\.products'"):
        check_suites(workspace(suite(NOT_NULL), "trusted.product.yml"))


def products(lake: Lake, *names: str | None) -> None:
    lake.append_rows(
        TABLE,
        [
            {"source": "core", "product_id": str(at), "name": name, "product_class": "fund", "_feed": "f", "_file": "f",
             "_row": at, "valid_from": D}
            for at, name in enumerate(names)
        ],
    )  # fmt: skip


def lake_of(settings) -> Lake:
    lake = Lake(settings)
    lake.create([TABLE, "quality.measures", "quality.gate_results"])
    return lake


def results(lake: Lake) -> list[tuple]:
    rows = lake.read_arrow("quality.gate_results").to_pylist()
    return [(row["gate"], row["measure"], row["is_passed"]) for row in rows]


def test_an_expectation_that_is_met_is_kept_and_one_that_is_not_stops_with_counts_and_no_value(workspace):
    lake = lake_of(workspace(suite(NOT_NULL)))
    products(lake, *("a secret name",) * 9, None)
    check_expectations(lake, "trusted", D)
    name = "expect_column_values_to_not_be_null(name)"
    assert results(lake) == [("trusted_expectations", name, True)]
    check_expectations(lake, "tags", D)
    products(lake, None, None)
    with pytest.raises(GateStopped) as stopped:
        check_expectations(lake, "trusted", D)
    assert stopped.value.exit_code == 3
    assert (
        f"trusted.products: {name} is 0.25, must be at most 0.1 (every product has a name; 3 of 12 rows"
        in str(stopped.value)
    )
    assert "secret" not in str(stopped.value)
    assert results(lake) == [("trusted_expectations", name, False)]


VALUES = """\
  - type: expect_column_values_to_be_in_set
    kwargs: {column: product_class, value_set: [fund]}
    why: a
  - type: expect_column_value_lengths_to_be_between
    kwargs: {column: name, max_value: 3}
    why: long names do not fit the letter
    severity: warn
  - type: expect_table_row_count_to_be_between
    kwargs: {min_value: 2, max_value: 20}
    why: c
  - type: expect_column_values_to_be_between
    kwargs: {column: valid_from, min_value: 2026-01-01}
    why: nothing is older
  - type: expect_column_unique_value_count_to_be_between
    kwargs: {column: product_id, min_value: 3}
    why: d
"""


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def test_both_engines_judge_alike(workspace, engine, caplog, request):
    settings = workspace(suite(VALUES))
    lake = lake_of(settings)
    products(lake, "abc", "abcd", "ab")
    if engine == "spark":
        spark = request.getfixturevalue("spark")
        settings = settings.model_copy(update={"engine": replace_engine(settings, "spark")})
        lake = Lake(settings, spark=spark)
    check_expectations(lake, "trusted", D)
    assert [is_passed for _, _, is_passed in sorted(results(lake))] == [True, False, True, True, True]
    assert "long names do not fit the letter; 1 of 3 rows" in caplog.text


def replace_engine(settings, name):
    return settings.engine.model_copy(update={"name": name})


def test_words_that_do_not_fit_the_column_are_one_sentence(workspace):
    entry = "  - {type: expect_column_mean_to_be_between, kwargs: {column: name, min_value: 1}, why: w}\n"
    lake = lake_of(workspace(suite(entry)))
    products(lake, "a secret name", "b")
    with pytest.raises(StepFailed, match=r"cannot be judged on trusted\.products") as wrong:
        check_expectations(lake, "trusted", D)
    assert wrong.value.line == 3
    assert "secret" not in str(wrong.value)


def test_only_the_rows_of_the_night_are_judged_where_the_file_says_so(workspace):
    lake = lake_of(workspace(suite(NOT_NULL, over="arrived")))
    products(lake, None, None)
    check_expectations(lake, "trusted", date(2026, 3, 21))
    with pytest.raises(GateStopped, match="2 of 2 rows"):
        check_expectations(lake, "trusted", D)
