"""Cut points are computed from published tags on the first night of a period, kept for it, and the same when a night is run again."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.build.cut_points import freeze_cut_points, period_of, rows_before
from tags.build.project import CURRENT, DAILY, project_files, source_tables, wide_contracts
from tags.compile.compilation import compile_tags
from tags.compile.sql_text import CUT_POINTS
from tests.tags.drawn import draw

TAG = """
family: site
tags:
  - code: spend_score
    name: {zh: 消费分, en: Spend score}
    definition: {zh: 说明, en: Meaning}
    kind: rule
    value: {type: int, min: 1, max: 3}
    null_rule: NA
    level: C2
    purposes: [%(purpose)s]
    params:
      - name: adult
        value: 18
      - name: cuts
        value: %(value)s
        cut_points: {%(spec)s}
    inputs: [tag:aum_eod, tag:tenure_days]
    compute:
      cases:
        - {when: tenure_days is null, then: "null"}
        - {when: "aum_eod <= element_at(:cuts, 1)", then: "1"}
        - {when: "aum_eod <= element_at(:cuts, 2)", then: "2"}
        - {else: "3"}
    null_when: [{when: tenure_days is null, reason: not_applicable}]
    owner: data
    version: 1.0.0
    status: online
"""
SPEC = "of: aum_eod, quantiles: [0.5, 0.9], population: 'age >= :adult', frozen: quarter"


def site(make_workspace, spec=SPEC, value="[10, 20]", purpose="service"):
    folder = make_workspace({"tags/site.yml": TAG % {"spec": spec, "value": value, "purpose": purpose}})
    return folder, compile_tags(folder)


@pytest.fixture
def bank(make_workspace):
    """A lake with wide tables and no rows, its compilation, and what lets a night be published in it."""
    folder, compilation = site(make_workspace)
    lake = open_lake(load_settings(folder))
    lake.contracts.add(*wide_contracts(compilation))
    lake.create()

    def publish(day, *people):
        rows = [
            {"one_id": at, "kind": "customer", "age": age, "aum_eod": None if money is None else Decimal(money), "null_exceptions": [], "as_of": day}
            for at, (age, money) in enumerate(people, start=1)
        ]  # fmt: skip
        lake.append(DAILY, pa.Table.from_pylist(rows, schema=lake.contracts.get(DAILY).arrow_schema()))

    return lake, compilation, publish


def kept(lake):
    return [
        (str(row["valid_from"]), row["valid_to"] and str(row["valid_to"]), str(row["measured_on"]), row["people_count"], [str(c) for c in row["cuts"]])
        for row in sorted(lake.read_arrow(CUT_POINTS).to_pylist(), key=lambda row: row["valid_from"])
    ]  # fmt: skip


def day(text):
    return dt.date.fromisoformat(text)


ADULTS = [(18, n) for n in range(1, 11)]


def test_they_are_ranks_of_the_population_on_the_day_before_and_hold_for_the_period(bank):
    lake, compilation, publish = bank
    publish(day("2026-03-30"), *[(40, 1)] * 3)
    publish(day("2026-03-31"), *ADULTS, (17, 999), (None, 999), (30, None))
    freeze_cut_points(lake, compilation, day("2026-04-01"))
    first = [("2026-04-01", None, "2026-03-31", 10, ["5.000000", "9.000000"])]
    assert kept(lake) == first
    publish(day("2026-04-01"), *[(40, 77)] * 3)
    version = lake.version(CUT_POINTS)
    for night in ("2026-04-01", "2026-04-02", "2026-06-30"):
        freeze_cut_points(lake, compilation, day(night))
    assert kept(lake) == first
    assert lake.version(CUT_POINTS) == version
    freeze_cut_points(lake, compilation, day("2026-07-02"))
    second = [
        ("2026-04-01", "2026-07-02", "2026-03-31", 10, ["5.000000", "9.000000"]),
        ("2026-07-02", None, "2026-04-01", 3, ["77.000000", "77.000000"]),
    ]
    assert kept(lake) == second
    # The night again says the same, though its own tags are there by now.
    publish(day("2026-07-02"), (40, 5))
    freeze_cut_points(lake, compilation, day("2026-07-02"))
    assert kept(lake) == second
    # A night of the past quarter again takes back what came later.
    freeze_cut_points(lake, compilation, day("2026-04-01"))
    assert kept(lake) == first


def test_without_yesterday_or_people_nothing_is_kept_and_the_next_night_tries_again(bank, caplog):
    lake, compilation, publish = bank
    with caplog.at_level("WARNING", logger="cdp.tags"):
        freeze_cut_points(lake, compilation, day("2026-04-01"))
        publish(day("2026-04-01"), (17, 5), (30, None))
        freeze_cut_points(lake, compilation, day("2026-04-02"))
    assert kept(lake) == []
    warnings = {
        r.getMessage() for r in caplog.records if r.name == "cdp.tags" and "spend_score" in r.getMessage()
    }
    assert warnings == {
        "spend_score: nobody to compute the cut points ':cuts' from before 2026-04-02; the declared ones count"
    }
    publish(day("2026-04-02"), (18, 5))
    freeze_cut_points(lake, compilation, day("2026-04-03"))
    assert kept(lake) == [("2026-04-03", None, "2026-04-02", 1, ["5.000000", "5.000000"])]
    publish(day("2026-06-30"), (17, 5))
    with caplog.at_level("WARNING", logger="cdp.tags"):
        freeze_cut_points(lake, compilation, day("2026-07-01"))
    assert kept(lake) == [("2026-04-03", None, "2026-04-02", 1, ["5.000000", "5.000000"])]
    assert caplog.records[-1].getMessage().endswith("the earlier ones count")


def test_what_was_cut_otherwise_does_not_count_any_more(bank, make_workspace):
    lake, compilation, publish = bank
    publish(day("2026-03-31"), *ADULTS, (17, 999))
    freeze_cut_points(lake, compilation, day("2026-04-01"))
    _, changed = site(
        make_workspace, spec="of: aum_eod, quantiles: [0.0001, 0.9999], frozen: year", value="[0, 0]"
    )
    freeze_cut_points(lake, changed, day("2026-04-02"))
    assert kept(lake) == [
        ("2026-04-01", "2026-04-02", "2026-03-31", 10, ["5.000000", "9.000000"]),
        ("2026-04-02", None, "2026-03-31", 11, ["1.000000", "999.000000"]),
    ]
    (make_workspace() / "tags" / "site.yml").unlink()
    freeze_cut_points(lake, compile_tags(make_workspace()), day("2026-04-03"))
    assert [row[1] for row in kept(lake)] == ["2026-04-02", "2026-04-03"]


@pytest.mark.parametrize(
    ("text", "frozen", "first"),
    [
        ("2028-02-29", "month", "2028-02-01"), ("2026-03-31", "quarter", "2026-01-01"), ("2026-04-01", "quarter", "2026-04-01"),
        ("2026-12-31", "quarter", "2026-10-01"), ("2026-12-31", "year", "2026-01-01"),
    ],
)  # fmt: skip
def test_a_period_begins_with_its_first_day(text, frozen, first):
    assert period_of(day(text), frozen) == day(first)


def test_a_night_rewinds_what_it_and_later_ones_said():
    def row(begin, end):
        return {"valid_from": day(begin), "valid_to": end and day(end)}

    rows = [row("2026-01-01", "2026-04-01"), row("2026-04-01", "2026-07-01"), row("2026-07-01", None)]
    assert rows_before(rows, day("2026-04-01")) == [row("2026-01-01", None)]
    assert rows_before(rows, day("2026-04-02")) == [row("2026-01-01", "2026-04-01"), row("2026-04-01", None)]
    assert rows_before(rows, day("2026-01-01")) == []


def test_only_a_workspace_that_cuts_reads_the_table(make_workspace):
    _, compilation = site(make_workspace)
    assert CUT_POINTS in source_tables(compilation)
    wide = project_files(compilation)["models/customer_tags.sql"]
    assert "kept.tag = 'spend_score' and kept.parameter = 'cuts'" in wide
    assert "cast(array(10, 20) as array<decimal(24,6)>)" in wide


REFUSED = {
    "a tag that is not there": ({"spec": SPEC.replace("of: aum_eod", "of: aum_end")}, "unknown tag 'aum_end'; did you mean 'aum_eod'"),
    "a draft": ({"spec": SPEC.replace("of: aum_eod", "of: p_churn_90d")}, "reads the tag 'p_churn_90d', which is draft"),
    "no number": ({"spec": SPEC.replace("of: aum_eod", "of: aum_tier")}, "'aum_tier' is no number, so it has no quantiles"),
    "a population of what is not there": ({"spec": SPEC.replace("age >=", "ages >=")}, "unknown tag 'ages'; did you mean 'age'"),
    "an unknown parameter": ({"spec": SPEC.replace(":adult", ":adults")}, "unknown parameter ':adults'; did you mean 'adult'"),
    "a population of its own cuts": ({"spec": SPEC.replace(":adult", ":cuts")}, "unknown parameter ':cuts'"),
    "a population that is a query": ({"spec": SPEC.replace("age >= :adult", "one_id in (select 1)")}, "without a query inside"),
    "a value nobody has": ({"spec": SPEC.replace("age >= :adult", 'aum_tier = \"T9\"')}, "'aum_tier' never is 'T9'"),
    "a restricted tag": ({"spec": SPEC.replace("age >= :adult", 'aml_grade = \"H\"')}, "is cut by 'aml_grade', whose level is C2 and whose purposes are risk_only"),
    "quantiles that fall": ({"spec": SPEC.replace("[0.5, 0.9]", "[0.9, 0.5]")}, "'quantiles' of cut points is a list of numbers that do not fall"),
    "a quantile of one": ({"spec": SPEC.replace("[0.5, 0.9]", "[0.5, 1]")}, "less than 1"),
    "fewer values than quantiles": ({"value": "[1]"}, "has a number for each quantile: what counts before the first night"),
    "values that are words": ({"value": "[a, b]"}, "'value' of cut points is a list of numbers"),
    "one value": ({"value": "7"}, "'value' of cut points is a list of numbers"),
    "an unknown period": ({"spec": SPEC.replace("quarter", "week")}, "'month', 'quarter' or 'year'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=REFUSED.keys())
def test_cut_points_that_cannot_be_meant_are_refused_with_their_line(case, make_workspace):
    said, sentence = REFUSED[case]
    with pytest.raises(SettingsInvalid) as refusal:
        site(make_workspace, **said)
    assert sentence in str(refusal.value)
    assert refusal.value.file.endswith("tags/site.yml") and refusal.value.line


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_night_scores_by_what_it_has_kept(engine, bank, make_workspace, request):
    import tags

    lake, _, publish = bank
    folder = make_workspace({"cdp.yml": f"generate_secrets: true\nengine: {engine}\n"})
    spark = request.getfixturevalue("spark") if engine == "spark" else None
    lake = open_lake(load_settings(folder), spark=spark)
    people = {"ann": "5", "bob": "5.01", "cat": "9.01", "dan": None}
    ones = "\n".join(f"| {at} | {at} | 2026-01-01 | customer | active | 1 |" for at in range(1, 5))
    draw(
        lake,
        "identity.one_ids",
        f"| one_id | anchor_profile_id | created_on | kind | status | profile_count |\n{ones}",
    )
    members = "\n".join(f"| {at} | bank | {name} | {at} |" for at, name in enumerate(people, start=1))
    draw(lake, "identity.memberships", f"| one_id | source | source_key | profile_id |\n{members}")
    rich = [name for name, money in people.items() if money]
    rows = "\n".join(f"| {name}1 | savings | CNY | open | 2020-01-01 |" for name in rich)
    draw(lake, "trusted.accounts", f"| account_id | account_type | currency | status | opened_on |\n{rows}")
    rows = "\n".join(f"| person_account | bank | {name} | bank | {name}1 | owner |" for name in rich)
    draw(
        lake,
        "trusted.relationships",
        f"| relationship_type | from_source | from_key | to_source | to_key | role |\n{rows}",
    )
    rows = "\n".join(
        f"| {name}1 | demand | 2026-03-01 | {people[name]} | {people[name]} | CNY |" for name in rich
    )
    draw(
        lake,
        "trusted.balances",
        f"| account_id | product_class | balance_on | balance | balance_base | currency |\n{rows}",
    )
    publish(day("2026-03-31"), *ADULTS)
    tags.build_tags(lake, day("2026-04-01"))
    scores = {row["one_id"]: row["spend_score"] for row in lake.read_arrow(CURRENT).to_pylist()}
    assert scores == {1: 1, 2: 2, 3: 3, 4: None}
    assert kept(lake) == [("2026-04-01", None, "2026-03-31", 10, ["5.000000", "9.000000"])]


ONE, TWO = "{name: c, value: [1, 2]}", "{name: c, value: [1, 2], since: 2020-01-01}"
PLACES = "':c' has the places 1 to %s; write one of them as a number"
IS_LIST = "':c' is a list: read it as element_at(:c, 1), array_contains(:c, x) or size(:c)"
LIST_FAULTS = [
    (ONE, "age > :c", IS_LIST),
    (ONE, "age > element_at(array(:c), 1)", IS_LIST),
    (ONE, "age > element_at(:c, 3)", PLACES % 2),
    (ONE, "age > element_at(:c, 0)", PLACES % 2),
    (ONE, "age > element_at(:c, -1)", PLACES % 2),
    (ONE, "age > element_at(:c, 1.5)", PLACES % 2),
    (ONE, "age > element_at(:c, '1')", PLACES % 2),
    (ONE, "age > element_at(:c, age)", PLACES % 2),
    (TWO + ", {name: c, value: [3], since: 2021-01-01}", "age > element_at(:c, 2)", PLACES % 1),
    (TWO + ", {name: c, value: 3, since: 2021-01-01}", "age > element_at(:c, 1)", "':c' is a list since one day and none since another"),
    ("{name: c, value: 5}", "age > element_at(:c, 1)", "':c' is no list"),
    ("{name: c, value: [a, 2]}", "age > 1", "a list is of numbers or of texts, and has one at least"),
    ("{name: c, value: []}", "age > 1", "a list is of numbers or of texts, and has one at least"),
]  # fmt: skip


def of_list(params, condition):
    text = TAG % {"spec": SPEC, "value": "[10, 20]", "purpose": "service"}
    head, rest = text.split("      - name: cuts", 1)
    tail = rest[rest.index("    inputs:") :].replace("tag:aum_eod", "tag:age, tag:aum_tier")
    cases = tail[tail.index("      cases:") : tail.index("    null_when:")]
    tail = tail.replace(
        cases, f'      cases:\n        - {{when: "{condition}", then: "1"}}\n        - {{else: "2"}}\n'
    )
    tail = tail.replace("    null_when: [{when: tenure_days is null, reason: not_applicable}]\n", "")
    return head.replace("    params:\n", f"    params: [{params}, {{name: adult, value: 18}}]\n").replace(
        "      - name: adult\n        value: 18\n", ""
    ) + tail  # fmt: skip


@pytest.mark.parametrize(("params", "condition", "said"), LIST_FAULTS)
def test_a_list_is_read_by_a_place_that_it_has(make_workspace, params, condition, said):
    with pytest.raises(SettingsInvalid) as wrong:
        compile_tags(make_workspace({"tags/site.yml": of_list(params, condition)}))
    assert said in str(wrong.value)


def test_a_list_of_fixed_values_is_an_array(make_workspace):
    texts = {
        of_list(params, condition)
        for params, condition in (
            (ONE, "age > element_at(:c, 2)"),
            ("{name: c, value: [T1, T2]}", "array_contains(:c, aum_tier)"),
        )
    }
    for text in texts:
        compiled = compile_tags(make_workspace({"tags/site.yml": text}))
        sql = compiled.writer.tag_sql(compiled.registry["spend_score"])
        assert (
            "array(1, 2) as array<decimal(24,6)>), 2)" in sql
            or "cast(array('T1', 'T2') as array<string>), aum_tier)" in sql
        )
