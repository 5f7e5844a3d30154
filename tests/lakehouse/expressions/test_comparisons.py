"""Comparisons of texts with what is no text: found where both types are known, and nowhere else."""

from __future__ import annotations

import pytest

from lakehouse.expressions.comparisons import mixed_comparison, unfit_comparison

TYPES = {"t": "string", "n": "int", "d": "date", "dec": "decimal(18,2)", "b": "boolean", "at": "timestamp"}


@pytest.mark.parametrize(
    "text",
    [
        "t = 7", "t > 5", "t <> 1.5", "t <=> 7", "t in (7, 8)", "n in (t)", "t between 1 and 5", "case t when 7 then 1 end", "trim(t) = 7",
        "coalesce(t, '') = 0", "upper(t) <> true", "d > t", "at < t", "b = t", "substring(t, 1, 2) > 10", "n = 7 and not (t >= dec)",
        "if(t = 1, 2, 3) = 2", "split(t, ',')[0] = 5",
    ],
)  # fmt: skip
def test_a_text_that_meets_something_else_is_found(text):
    assert mixed_comparison(text, TYPES.get) is not None


@pytest.mark.parametrize(
    "text",
    [
        "t = '7'", "t in ('7', '8')", "case t when '7' then 1 end", "n > '5'", "d > '2020-01-01'", "b = 'true'", "length(t) > 3",
        "try_cast(t as int) = 7", "cast(t as date) > d", "cast(n as string) = t", "unknown = 7", "t = unknown", "t is null", "n = dec",
        "if(t = 'a', 1, 2) = 1", "to_date(t, 'yyyy') > d", "year(t) = 2020",
    ],
)  # fmt: skip
def test_what_fits_or_is_not_known_is_left_alone(text):
    assert mixed_comparison(text, TYPES.get) is None


def test_the_comparison_is_given_as_it_was_written():
    assert mixed_comparison("n > 1 and t = 7", TYPES.get) == "t = 7"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dec > 'abc'", "a number with a text that says none"),
        ("n in (1, 'a')", "a number with a text that says none"),
        ("n between '1' and 'b'", "a number with a text that says none"),
        ("d > '2026-13-45'", "a day with a text that says none"),
        ("d = '2026-02-30'", "a day with a text that says none"),
        ("d > '20260105'", "a day with a text that says none"),
        ("d > '2026-W01-1'", "a day with a text that says none"),
        ("d > '2026-01-05x'", "a day with a text that says none"),
        ("at >= 'soon'", "a day with a text that says none"),
        ("b = 'maybe'", "a boolean with a text that says none"),
        ("d > 20260101", "a day with a number"),
        ("n >= d", "a day with a number"),
        ("case n when 'x' then 1 end", "a number with a text that says none"),
        ("length(t) = 'long'", "a number with a text that says none"),
    ],
)
def test_a_text_that_says_no_value_of_the_other_side_and_a_day_beside_a_number_are_told(text, why):
    assert unfit_comparison(text, TYPES.get)[1] == why


@pytest.mark.parametrize(
    "text",
    [
        "n > '5'", "n = ' -1.5e3 '", "d > '2020-01-01'", "d > '2020-1-5'", "at > '2020-01-01 10:00:00'", "at > '2020-01-01T10:00:00+08:00'", "b = 'true'", "b = 'N'", "t = 'abc'", "unknown = 'abc'",
        "datediff(d, at) > 5", "d - to_date(t, 'yyyyMMdd') > 30", "months_between(d, at) / 12 >= 18", "year(d) = 2020", "n > 1 and t = 'x'",
        "coalesce(d, date'2020-01-01') = d", "n in (1, '2')",
    ],
)  # fmt: skip
def test_what_can_be_compared_is_no_unfit_comparison(text):
    assert unfit_comparison(text, TYPES.get) is None


def test_an_unfit_comparison_is_given_as_it_was_written():
    assert unfit_comparison("n > 1 and d > '2026-13-45'", TYPES.get)[0] == "d > '2026-13-45'"
