"""``cdp tags show --picture``: bars that tell of no single person, the trend, and what is never drawn. One small lake, no Spark."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

import tags
from jobs.cli import run
from jobs.report.catalogue.tag_picture import LEAST_PEOPLE, draw_picture, read_picture
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from vocabulary.registry import load_registry

D = dt.date(2026, 3, 31)
PEOPLE = 200
QUALITY = ("people_count", "eligible_count", "filled_count", "unknown_count", "not_applicable_count", "late_count",
           "expired_count", "unexplained_count", "outside_domain_count", "distinct_count")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("picture")
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(folder))
    tables = ["tags.customer_tags", "quality.tag_quality", "ops.publications"]
    lake.create(tables)
    rows = [
        {
            "one_id": at, "kind": "customer", "as_of": D, "aum_eod": 100 * at if at else None,
            "gender": None if at < 15 else "M" if at < 18 else "F", "age": 7 if at == 3 else 40,
            "aml_grade": "H" if at % 2 else "L", "reachable_channels": ["SMS", "CALL"] if at % 2 else [],
        }
        for at in range(PEOPLE)
    ]  # fmt: skip
    lake.append_rows("tags.customer_tags", rows)
    lake.append_rows("quality.tag_quality", [
        {"as_of": D - dt.timedelta(days=at), "tag": "gender", "coverage_ratio": ratio and Decimal(ratio), **dict.fromkeys(QUALITY, 0)}
        for at, ratio in ((0, "0.5"), (1, "0.9"), (2, None), (500, "0.7"))
    ])  # fmt: skip
    lake.append_rows("quality.tag_quality", [
        {"as_of": D, "tag": "aum_eod", "quantiles": [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 1234.5], **dict.fromkeys(QUALITY, 0)}
    ])  # fmt: skip
    lake.append_rows("ops.publications", [
        {"business_date": D, "run_id": "r", "seq": 1, "fingerprint": "f", "summary": "{}",
         "published_at": dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
         "tables": [{"table": table, "version": lake.version(table)} for table in tables[:2]]}
    ])  # fmt: skip
    return folder


def picture(folder, code):
    return read_picture(load_settings(folder), load_registry(folder, shipped=tags.REGISTRY)[code])


def test_values_of_few_people_are_one_bar_and_those_without_are_the_last(folder):
    assert picture(folder, "gender").bars == (("F", 182), ("all others", 3), ("no value", 15))
    assert picture(folder, "age").bars == (("40", 199), ("all others", 1), ("no value", 0))


def test_numbers_are_ranges_of_equally_many(folder):
    bars = picture(folder, "aum_eod").bars
    assert len(bars) == 11 and bars[-1] == ("no value", 1)
    assert (
        sum(people for _, people in bars) == PEOPLE and min(people for _, people in bars[:-1]) >= LEAST_PEOPLE
    )
    assert bars[0][0] == "100.00 … 2000.00"


def test_each_member_of_a_set_counts_and_an_empty_one_is_no_value(folder):
    assert set(picture(folder, "reachable_channels").bars) == {("CALL", 100), ("SMS", 100), ("no value", 100)}


def test_the_trend_is_of_the_last_nights_that_have_one(folder):
    assert picture(folder, "gender").trend == ((D - dt.timedelta(days=1), 0.9), (D, 0.5))


def test_the_same_picture_is_the_same_bytes_and_a_word_is_no_formula(folder, tmp_path):
    one = picture(folder, "gender")
    one = type(one)(one.code, one.business_date, (("$x_{1}$ <b>", 12), *one.bars), one.trend)
    for name in ("a.svg", "b.svg"):
        draw_picture(one, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    svg = (tmp_path / "a.svg").read_text()
    assert "$x_{1}$ &lt;b&gt;" in svg and "<b>" not in svg


@pytest.mark.parametrize(
    ("code", "file", "sentence"),
    [
        ("aml_grade", "a.svg", "may only exclude and is never shown"),
        ("p_churn_90d", "a.svg", "was not computed on 2026-03-31"),
        ("gender", "no/such/a.svg", "the picture cannot be written: No such file or directory"),
        ("gender", "segment.yml", "a picture is called NAME.svg"),
    ],
)
def test_what_is_not_drawn_is_one_sentence(folder, tmp_path, capsys, code, file, sentence):
    arguments = ["tags", "show", code, "--picture", str(tmp_path / file), "--workspace", str(folder)]
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert not (tmp_path / file).exists()


def test_show_draws_and_prints(folder, tmp_path, capsys):
    file = tmp_path / "gender.svg"
    assert (
        run(["tags", "show", "性别", "--picture", str(file), "--format", "json", "--workspace", str(folder)])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["code"] == "gender" and file.read_text().startswith("<?xml")


def shown(folder, capsys, code):
    """The page of a tag as JSON and as text."""
    assert run(["tags", "show", code, "--format", "json", "--workspace", str(folder)]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert run(["tags", "show", code, "--workspace", str(folder)]) == 0
    return tree, capsys.readouterr().out


def test_show_tells_values_and_nights_without_a_picture(folder, capsys):
    tree, page = shown(folder, capsys, "gender")
    assert tree["distribution"] == [
        {"value": "F", "people": 182}, {"value": "all others", "people": 3}, {"value": "no value", "people": 15},
    ]  # fmt: skip
    assert tree["trend"] == [
        {"as_of": "2026-03-30", "coverage_ratio": 0.9}, {"as_of": "2026-03-31", "coverage_ratio": 0.5},
    ]  # fmt: skip
    assert "people by value\n    F: 182\n    all others: 3\n" in page
    assert "coverage by night\n    2026-03-30: 90.0 %\n    2026-03-31: 50.0 %\n" in page
    tree, page = shown(folder, capsys, "aum_eod")
    assert tree["quantiles"]["99 %"] == 1234.5 and "50 %: 50.00, 75 %: 75.00" in page


def test_show_tells_no_values_of_what_may_only_exclude_or_was_not_computed(folder, capsys):
    for code in ("aml_grade", "p_churn_90d"):
        tree, page = shown(folder, capsys, code)
        assert (tree["distribution"], tree["quantiles"], tree["trend"]) == (None, None, None)
        assert "people by value" not in page


@pytest.mark.parametrize(
    ("code", "words"),
    [("age", "DATE '2026-03-31'"), ("rfm_monetary", "from tags.cut_points")],
)
def test_show_gives_sql_with_the_day_and_without_templates(folder, capsys, code, words):
    tree, page = shown(folder, capsys, code)
    assert words in tree["sql"] and "{{" not in page + tree["sql"]


def test_sql_as_people_read_it_has_the_call_that_its_author_wrote():
    from tags.compile.sql_text import readable_sql, resolve

    text = "bucket(concat('a\"b', :business_date), one_id) < 9 and age > 3"
    sql = resolve(text, {}, ValueError)
    assert readable_sql(sql, None) == text
    assert readable_sql(sql, D) == text.replace(":business_date", "DATE '2026-03-31'")
