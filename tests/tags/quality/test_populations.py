"""Coverage over the population that a tag states: whom it counts, what its gate sees, and which populations are refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.query.desk import open_scratch
from lakehouse.settings.settings import load_settings
from tags.compile.compilation import compile_tags, narrowed
from tags.compile.entry_texts import population_inputs
from tags.definitions import changes_between, definition_of, next_version
from tags.quality.history import TagHistory
from tags.quality.judging import tag_measures
from tags.quality.measures import measure_tags
from tests.tags.quality.test_quality import PLAN, D, figures, wide_rows
from vocabulary.packs import Absence

ENTRIES = {entry.code: entry for entry in PLAN.entries}
# What each shipped population says, in Python: a second opinion on the expression and on its way through two engines' words.
POPULATIONS = {
    "active_credit_card_count > 0": lambda one: one["active_credit_card_count"] > 0,
    "is_credit_delay_known is not null or has_running_loan or active_credit_card_count > 0": lambda one: (
        one["is_credit_delay_known"] is not None
        or one["has_running_loan"]
        or one["active_credit_card_count"] > 0
    ),
    "is_app_registered": lambda one: one["is_app_registered"],
    "is_payroll": lambda one: one["is_payroll"],
    "order_count_365d > 0": lambda one: one["order_count_365d"] > 0,
    "size(account_types_held) > 0": lambda one: len(one["account_types_held"]) > 0,
    "time_deposit_balance > 0 or wealth_balance > 0": lambda one: (
        one["time_deposit_balance"] > 0 or one["wealth_balance"] > 0
    ),
    "wealth_balance > 0 or fund_balance > 0": lambda one: (
        one["wealth_balance"] > 0 or one["fund_balance"] > 0
    ),
}
STATED = {code: entry.population for code, entry in ENTRIES.items() if entry.population is not None}


def drawn_people(count: int) -> list[dict]:
    """People with random values of what populations read, and with and without an answer of each tag that states one."""
    chance = np.random.default_rng(7)

    def pick(*values):
        return values[chance.integers(len(values))]

    people = []
    for _ in range(count):
        person = {
            "active_credit_card_count": pick(0, 0, 1, 2),
            "has_running_loan": bool(chance.random() < 0.3),
            "is_credit_delay_known": pick(None, None, None, True, False),
            "is_app_registered": bool(chance.random() < 0.5),
            "is_payroll": bool(chance.random() < 0.2),
            "order_count_365d": pick(0, 1, 5),
            "account_types_held": pick([], ["savings"], ["card", "loan"]),
            **{
                code: Decimal(pick(0, 10))
                for code in ("time_deposit_balance", "wealth_balance", "fund_balance")
            },
        }
        null_exceptions = []
        for code in STATED:
            draw = chance.random()
            person[code] = some_value(ENTRIES[code]) if draw < 0.6 else None
            if draw > 0.9:
                null_exceptions.append({"tag": code, "reason": "not_applicable"})
        people.append({**person, "null_exceptions": null_exceptions})
    return people


def some_value(entry):
    values = {"int": 1, "decimal": Decimal(1), "ratio": Decimal("0.5"), "date": D}
    return values.get(entry.value.type, (entry.value.domain or ["x"])[0])


def test_the_counts_are_those_of_plain_python():
    people = drawn_people(200)
    rows = figures(people)
    assert set(STATED.values()) == set(POPULATIONS)
    for code, text in STATED.items():
        eligible = [
            one
            for one in people
            if POPULATIONS[text](one) and all(each["tag"] != code for each in one["null_exceptions"])
        ]
        filled = sum(one[code] is not None for one in eligible)
        assert 0 < filled < len(eligible) < len(people)
        figure = rows[code]
        assert (figure["eligible_count"], figure["filled_count"]) == (len(eligible), filled), code
        assert figure["coverage_ratio"] == (Decimal(filled) / len(eligible)).quantize(Decimal("0.000001"))
        # All other figures are of everybody, and add up as before.
        assert figure["people_count"] == 200 == figure["value_count"] + figure["not_applicable_count"]
    without = next(row for code, row in rows.items() if code not in STATED)
    assert without["eligible_count"] == 200


@pytest.mark.slow
def test_spark_counts_the_same_people(spark):
    """Nights are measured by DuckDB after either engine; the conditions are of Spark's language, and mean there what they mean here."""
    people = drawn_people(60)
    rows = figures([{**one, "null_exceptions": []} for one in people])
    names = sorted({name for code in STATED for name in population_inputs(ENTRIES[code])})
    frame = spark.createDataFrame(wide_rows(people).select(names).to_pandas())
    for text in POPULATIONS:
        code = next(code for code, population in STATED.items() if population == text)
        assert frame.where(text).count() == rows[code]["eligible_count"], text


def test_who_has_no_card_takes_nothing_from_the_coverage_of_what_cards_say():
    """Of 100 people 20 have a card: the share is 100 %, and was 20 % when everybody counted."""
    people = [{"active_credit_card_count": 1, "card_utilisation_ratio": Decimal("0.2")}] * 20 + [{}] * 80
    row = figures(people)["card_utilisation_ratio"]
    assert (row["eligible_count"], row["filled_count"], row["coverage_ratio"]) == (20, 20, 1)
    assert row["not_applicable_count"] == 80


def test_a_tag_whose_population_is_empty_has_no_coverage():
    """A value of somebody outside counts for nothing, and an unknown condition is no yes."""
    rows = figures([{"payday": 5}, {"payday": 6, "is_payroll": None}, {}])
    row = rows["payday"]
    assert (row["eligible_count"], row["filled_count"], row["coverage_ratio"]) == (0, 0, None)
    assert row["value_count"] == 2


# ---------------------------------------------------------------------------- the gate


def nights_before(row, **changes) -> dict:
    """What seven nights like this row say of its tag."""
    history = TagHistory(
        nights=7, baseline=7, is_turn=False, filled=row["filled_count"], coverage=float(row["coverage_ratio"]),
        present=row["value_count"], mean=None, quantiles=None, shares=None, psi_before=None, changed_before=None,
    )  # fmt: skip
    return {(row["tag"], row["version"]): replace(history, **changes)}


def loss_of(entry, row, history, tmp_path):
    row = {**row, "value_on": None, "psi": None}
    (tmp_path / "cdp.yml").write_text("generate_secrets: true\n")
    (one,) = tag_measures(load_settings(tmp_path), [entry], [row], history, {entry.code: ["trusted.cards"]})
    assert one.bound.name == f"{entry.code}.lost_ratio"
    return one


CARD = {"active_credit_card_count": 1}
FILLED = {**CARD, "card_utilisation_ratio": Decimal("0.2")}


def test_a_fault_inside_a_small_population_stops_though_the_share_of_everybody_is_as_it_was(tmp_path):
    """150 of 2,000 people have a card. Tonight 250 more come, from a file without limits: nobody lost an answer."""
    before = figures([FILLED] * 150 + [{}] * 1850)["card_utilisation_ratio"]
    now = figures([FILLED] * 150 + [CARD] * 250 + [{}] * 1600)["card_utilisation_ratio"]
    assert before["value_count"] == now["value_count"] and before["people_count"] == now["people_count"]
    entry = ENTRIES["card_utilisation_ratio"]
    stopping = loss_of(entry, now, nights_before(before), tmp_path)
    assert (stopping.bound.severity, stopping.bound.max) == ("stop", 0.5)
    assert stopping.value == pytest.approx(0.625)
    assert stopping.bound.why == (
        "150 of 400 people of its population have an answer, and 100.0 % of it had one on the 7 nights before (median)"
    )
    # The same tag without its population sees nothing.
    everybody = entry.model_copy(update={"population": None})
    assert loss_of(everybody, now, nights_before(before), tmp_path).value == 0


def test_answers_of_others_do_not_stand_in_for_those_of_the_population(tmp_path):
    """All 200 people with a card lose the answer, and 1,000 others have one: of everybody a sixth is gone."""
    stray = {"card_utilisation_ratio": Decimal("0.2")}
    before = figures([FILLED] * 200 + [stray] * 1000)["card_utilisation_ratio"]
    now = figures([CARD] * 200 + [stray] * 1000)["card_utilisation_ratio"]
    stopping = loss_of(ENTRIES["card_utilisation_ratio"], now, nights_before(before), tmp_path)
    assert (stopping.bound.severity, stopping.value) == ("stop", 1)


def test_a_population_that_shrinks_by_half_is_missed_as_before(tmp_path):
    """A source that stops empties the population with the answers; the share of nobody must not hide it."""
    before = figures([FILLED] * 200)["card_utilisation_ratio"]
    now = figures([{}] * 200)["card_utilisation_ratio"]
    assert now["coverage_ratio"] is None
    stopping = loss_of(ENTRIES["card_utilisation_ratio"], now, nights_before(before), tmp_path)
    assert (stopping.bound.severity, stopping.value) == ("stop", 1)


# ---------------------------------------------------------------------------- what is off, and what is narrowed


def measured(plan, people):
    rows = wide_rows(people)
    rows = rows.drop_columns([entry.code for entry in plan.absent])
    plan = replace(plan, entries=tuple(entry for entry in plan.entries if entry not in plan.absent))
    layers = tuple(tuple(e for e in layer if e not in plan.absent) for layer in plan.layers)
    with open_scratch() as desk:
        figures_of = measure_tags(desk, desk.lend("wide", rows), replace(plan, layers=layers), D)
    return {row["tag"]: row for row in figures_of}


def test_a_population_reads_of_a_tag_that_is_off_what_somebody_without_data_has():
    """Without a feed of cards borrowers are all that is left of those with credit."""
    cards_off = replace(PLAN, absent=(ENTRIES["active_credit_card_count"],))
    people = [{"has_running_loan": True, "days_past_due": 3}, {"has_running_loan": True}, {}, {}]
    row = measured(cards_off, people)["days_past_due"]
    assert (row["eligible_count"], row["filled_count"]) == (2, 1)


def test_a_population_of_nothing_but_tags_that_are_off_is_everybody():
    """What says nothing of anybody leaves nobody out: a tag that is filled must not look like one for nobody."""
    cards_off = replace(PLAN, absent=(ENTRIES["active_credit_card_count"],))
    row = measured(cards_off, [{"card_utilisation_ratio": Decimal("0.1")}, {}])["card_utilisation_ratio"]
    assert (row["eligible_count"], row["filled_count"]) == (2, 1)


def test_what_is_computed_alone_brings_what_its_population_reads():
    whole = compile_tags(None)
    part = {entry.code for entry in whole.part(["payday"]).entries}
    assert part == {"payday", "is_payroll"}
    assert {entry.code for entry in narrowed(whole, None, ["overdue_bucket"]).entries} == {
        "overdue_bucket", "days_past_due", "is_credit_delay_known", "has_running_loan", "active_credit_card_count",
    }  # fmt: skip


# ---------------------------------------------------------------------------- what is refused


SITE = """
family: site
tags:
  - code: site_days
    name: {zh: 本行天数, en: Site days}
    definition: {zh: 说明, en: Meaning}
    kind: rule
    value: {type: int}
    null_rule: NA
    level: C1
    purposes: [marketing]
    params: [{name: least, value: 18}, {name: several, value: [1, 2]}]
    inputs: [tag:age]
    population: POPULATION
    compute: {expression: age}
    owner: data
    version: 1.0.0
    status: STATUS
  - code: site_twice
    name: {zh: 两倍, en: Twice}
    definition: {zh: 说明二, en: Meaning two}
    kind: rule
    value: {type: int}
    null_rule: NA
    level: C1
    purposes: [marketing]
    inputs: [tag:site_days]
    compute: {expression: site_days * 2}
    owner: data
    version: 1.0.0
    status: online
"""
LINE = 14


def site_compilation(make_workspace, population, status="online"):
    text = SITE.replace("POPULATION", population).replace("STATUS", status)
    return compile_tags(make_workspace({"tags/site.yml": text}))


@pytest.mark.parametrize(
    ("population", "message"),
    [
        ("has_car > 0", "unknown tag 'has_car'"),
        ("ages > 3", "unknown tag 'ages'; did you mean 'age'?"),
        ("age >", "'age >' "),
        ("age", "'age' is a number and no condition; compare it with something"),
        ("gender", "'gender' is a text and no condition"),
        ("gender = 'X'", "'gender' never is 'X'"),
        ("age > :leest", "unknown parameter ':leest'; did you mean 'least'?"),
        ("age in (:several)", "':several' is a list; a population compares with one value"),
        ("site_days is not null", "'site_days' is this tag, so whoever loses the answer leaves the population"),
        ("coalesce(site_twice, 1) > 0", "'site_twice' is computed from this tag, so whoever loses the answer"),
        ("product_holder_count > 0", "'product_holder_count' is a tag of the product, and this one is of the customer"),
        ("p_churn_90d > 0.5", "reads the tag 'p_churn_90d', which is draft"),
        ("is_payroll", "is counted over people by 'is_payroll', whose level is C2"),
        ("is_account_controlled", "whose purposes are risk_only; give this tag no lower level and no other purposes"),
        ("bucket('x', one_id) < 5000", "a population is a condition over tags, without bucket()"),
        ("'true'", "reads no tag, so it is true of all or of none"),
        ("1 = 1", "reads no tag, so it is true of all or of none"),
        ("(select max(age) from customer_tags) > 3", ""),
        ("age > 3) or (1 = 1", ""),
        ("read_sources is not null", "unknown tag 'read_sources'"),
        ("sum(age) > 3", ""),
        ("''", ""),
    ],
)  # fmt: skip
def test_what_is_no_condition_over_tags_is_refused_with_its_line(make_workspace, population, message):
    with pytest.raises(SettingsInvalid) as refusal:
        site_compilation(make_workspace, f'"{population}"')
    assert message in refusal.value.message
    assert str(refusal.value.file).endswith("tags/site.yml") and refusal.value.line == LINE


@pytest.mark.parametrize(
    "population",
    ["age >= :least", "kind = 'customer' and :business_date > date'2020-01-01'", "age is not null"],
)
def test_parameters_the_day_and_the_kind_of_person_may_be_asked(make_workspace, population):
    compilation = site_compilation(make_workspace, population)
    entry = compilation.registry["site_days"]
    assert entry.population == population
    with open_scratch() as desk:
        rows = desk.define(
            "wide",
            "SELECT one_id, 'customer' AS kind, one_id::INTEGER AS age, one_id::INTEGER AS site_days, (2 * one_id)::INTEGER AS site_twice,"
            " []::STRUCT(tag VARCHAR, reason VARCHAR)[] AS null_exceptions, []::VARCHAR[] AS read_sources, []::VARCHAR[] AS unexplained_nulls"
            " FROM range(10, 30) t(one_id)",
        )
        plan = compilation.part(["site_days"]).plan
        (row,) = [one for one in measure_tags(desk, rows, plan, D) if one["tag"] == "site_days"]
    assert row["eligible_count"] == row["filled_count"] == (12 if ":least" in population else 20)


def test_a_population_of_a_tag_that_is_off_is_refused_in_a_tag_of_the_site(make_workspace):
    compilation = site_compilation(make_workspace, "is_app_registered")
    off = replace(compilation.registry, absences={"is_app_registered": Absence()})
    from tags.compile.checks.populations import check_populations

    with pytest.raises(SettingsInvalid, match="'is_app_registered', which is off: "):
        check_populations(off, compilation.plan)
    check_populations(off, replace(compilation.plan, entries=(ENTRIES["app_registered_days"],)))


def test_another_population_raises_the_second_number():
    entry = ENTRIES["payday"]
    other = entry.model_copy(update={"population": "age > 18"})
    layout = entry.model_copy(update={"population": "( is_payroll )"})
    changes = changes_between(definition_of(entry), definition_of(other))
    assert changes == {"thresholds": ["population"]}
    assert next_version("1.4.2", changes) == "1.5.0"
    assert list(changes_between(definition_of(entry), definition_of(layout))) == ["texts"]
    assert dt.date(2026, 3, 31) == D
