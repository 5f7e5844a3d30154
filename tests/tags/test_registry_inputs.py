"""The shipped list is complete, agrees with its null and level columns, and reads only columns that exist."""

from __future__ import annotations

import graphlib
import re

import pytest

from lakehouse.contracts.reading import contract, contract_names
from tags import REGISTRY
from vocabulary.registry import Entry, load_registry

RANK = {"C1": 1, "C2": 2}

# Code, family, null rule, level. A default stands behind "=" where absence has a name of its own.
SHIPPED = """
gender                      basic      U       C1
age                         basic      U       C1
age_band                    basic      U       C1
city_tier                   basic      U       C1
home_branch                 basic      U       C1
occupation_class            basic      U       C1
tenure_days                 basic      NA      C1
id_document_state           basic      U       C2
has_relationship_manager    basic      Z       C1
is_staff                    basic      Z       C1
special_groups              basic      Z       C2
aum_eod                     value      Z       C2
aum_avg_last_month          value      Z       C2
aum_tier                    value      NA      C2
aum_gap_to_next_tier        value      NA      C2
aum_change_3m_ratio         value      NA      C2
demand_balance              value      Z       C2
time_deposit_balance        value      Z       C2
wealth_balance              value      Z       C2
fund_balance                value      Z       C2
loan_balance                value      Z       C2
product_class_count         value      Z       C2
days_to_next_maturity       value      NA      C2
is_payroll                  value      Z       C2
payroll_avg_amount          value      NA      C2
payday                      value      NA      C2
payroll_retention_ratio_7d  value      NA      C2
rfm_recency                 value      NA      C2
rfm_frequency               value      NA      C2
rfm_monetary                value      NA      C2
rfm_group                   value      NA      C2
contribution_12m            value      U       C2
risk_capacity               risk       U       C2
risk_assessment_state       risk       Z=NONE  C2
max_sellable_risk           risk       NA      C2
has_suitability_mismatch    risk       NA      C2
card_utilisation_ratio      risk       NA      C2
days_past_due               risk       NA      C2
overdue_bucket              risk       NA      C2
loan_class_worst            risk       NA      C2
overdue_count_12m           risk       NA      C2
aml_grade                   risk       H(180)  C2
is_account_controlled       risk       Z       C2
is_mau                      behaviour  Z       C1
login_days_30d              behaviour  Z       C1
days_since_login            behaviour  NA      C1
days_since_active_txn       behaviour  NA      C2
active_txn_count_90d        behaviour  Z       C2
active_txn_amount_90d       behaviour  Z       C2
has_key_action_30d          behaviour  Z       C2
wealth_view_count_7d        behaviour  Z       C1
wealth_funnel_break_7d      behaviour  Z=NONE  C1
top_spend_category_90d      behaviour  NA      C2
has_wallet_bound            behaviour  Z       C1
channel_habit               behaviour  Z=NONE  C1
lifecycle_mau               lifecycle  NEVER   C1
lifecycle_aum               lifecycle  NA      C2
new_customer_day            lifecycle  NA      C1
is_dormant                  lifecycle  Z       C2
is_downgrade_risk           lifecycle  Z       C2
reachable_channels          marketing  Z       C2
is_do_not_disturb           marketing  Z       C1
touch_count_7d              marketing  Z       C1
days_since_response         marketing  NA      C1
fatigue                     marketing  Z=LOW   C1
is_global_control           marketing  NEVER   C1
p_churn_90d                 model      U       C2
p_wealth_purchase_30d       model      U       C2
predicted_value_12m         model      U       C2
similarity_to_seed          model      NA      C2
"""
MORE = {
    "retail": """order_count_365d net_spend_365d average_order_value return_ratio_365d days_since_last_order
        first_order_on top_category_365d distinct_product_count_365d purchase_interval_days shop_rfm_group
        is_wholesale lifecycle_shop""",
    "basic": "has_medical_insurance education income_band marital_state family_role",
    "value": "is_first_loan_eligible has_repeat_purchase_180d",
    "risk": "has_early_repayment_90d",
    "behaviour": """large_inflow_7d large_outflow_7d card_lifecycle is_second_card_candidate
        has_transaction_alerts referral_count_365d is_dau has_dropped_out_of_activity_7d""",
    "lifecycle": "scenario_ladder",
    "marketing": "points_balance points_expiring_30d acquisition_channel acquisition_campaign no_response_state",
    "interest": """top_interest_30d content_view_count_30d preferred_hour_band preferred_device
        search_topics_30d""",
    "entities": "product_holder_count product_net_flow_30d branch_active_customer_count",
}
# Thresholds that change over time: their tags must name them as parameters with the day they take effect.
WITH_PARAMETERS = """
    id_document_state special_groups aum_tier aum_change_3m_ratio product_class_count is_payroll rfm_recency
    rfm_frequency rfm_monetary risk_assessed_until risk_assessment_state has_key_transaction_30d top_spend_category_90d channel_habit
    lifecycle_mau lifecycle_aum is_dormant fatigue p_churn_90d predicted_value_12m is_wholesale
"""
STATES = """customers attributes identifier_observations accounts holdings loans cards consents account_controls
    relationships products branches employees campaigns offers contents reference_values
    standing_orders"""
FACTS = "balances transactions events assessments orders order_lines ledger points receipts leads outside_contacts"

ENTRIES = load_registry(shipped=REGISTRY).entries
ROWS = [line.split() for line in SHIPPED.strip().splitlines()]
EXPECTED_FAMILY = {row[0]: row[1] for row in ROWS} | {
    code: family for family, codes in MORE.items() for code in codes.split()
}


def input_level(entry: Entry, text: str) -> str:
    """The level of one input; a tag's own is what it declares."""
    if text.startswith("tag:"):
        return ENTRIES[text.removeprefix("tag:")].level
    if text.startswith("param:"):
        return "C1"
    table, column = text.rsplit(".", 1)
    return contract(table).columns[column].level


def test_the_list_has_seventy_tags_and_the_packs() -> None:
    assert len(ROWS) == 70
    shipped = {code: entry.family for code, entry in ENTRIES.items() if entry.family != "measure"}
    assert shipped == EXPECTED_FAMILY


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_null_rule_and_level_are_those_of_the_list(row: list[str]) -> None:
    code, _, null, level = row
    entry = ENTRIES[code]
    rule, _, default = null.partition("=")
    assert (entry.null_rule, entry.level) == (rule, level)
    if default:
        assert entry.default == default


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.code)
class TestEveryTag:
    def test_says_in_both_languages_what_it_means(self, entry: Entry) -> None:
        assert entry.name.zh.strip()
        assert re.search(r"[\u4e00-\u9fff]", entry.definition.zh)
        for text in (entry.name.en, entry.definition.en):
            assert text.strip()
            assert not re.search(r"[\u4e00-\u9fff]", text)

    def test_reads_only_columns_and_tags_that_exist(self, entry: Entry) -> None:
        assert entry.inputs
        assert len(entry.inputs) == len(set(entry.inputs))
        for text in entry.inputs:
            if text.startswith("tag:"):
                assert text.removeprefix("tag:") in ENTRIES
            elif text.startswith("param:"):
                assert text.removeprefix("param:") in {param.name for param in entry.params}
            else:
                table, column = text.rsplit(".", 1)
                assert table in contract_names(), f"{entry.code} reads {table}"
                assert column in contract(table).columns, f"{entry.code} reads {text}"

    def test_carries_the_level_of_its_inputs_or_says_why_not(self, entry: Entry) -> None:
        highest = max((input_level(entry, text) for text in entry.inputs), key=RANK.__getitem__)
        if RANK[entry.level] < RANK[highest]:
            assert entry.declassified is not None, f"{entry.code} reads {highest}"
            assert entry.declassified.to == entry.level
        else:
            assert entry.declassified is None, f"{entry.code} declassifies nothing"

    def test_names_what_absence_means_within_its_values(self, entry: Entry) -> None:
        if entry.null_rule == "Z":
            assert entry.default is not None
        else:
            assert entry.default is None
        if entry.value.domain and isinstance(entry.default, str):
            assert entry.default in entry.value.domain

    def test_breaks_ties_in_a_unique_key_where_one_row_is_picked(self, entry: Entry) -> None:
        value = entry.value
        if value.type == "string" and value.domain is None and value.cardinality == "single":
            # Free text comes from one of several profiles or groups, so two may compete.
            assert entry.tie_rule

    def test_keeps_history_of_categories_and_booleans_only(self, entry: Entry) -> None:
        assert entry.history is (entry.value.type in ("string", "boolean"))


def test_thresholds_are_parameters_with_the_day_they_take_effect() -> None:
    without = [code for code in WITH_PARAMETERS.split() if not ENTRIES[code].params]
    assert without == []
    for entry in ENTRIES.values():
        assert len({(p.name, p.since) for p in entry.params}) == len(entry.params)


def test_tags_do_not_depend_on_themselves() -> None:
    order = graphlib.TopologicalSorter({e.code: e.tag_inputs for e in ENTRIES.values()}).static_order()
    assert set(order) == set(ENTRIES)


def test_controls_only_exclude() -> None:
    restricted = {code for code, entry in ENTRIES.items() if entry.purposes == ["risk_only"]}
    assert restricted == {"aml_grade", "is_account_controlled"}
    for entry in ENTRIES.values():
        assert not restricted & set(entry.tag_inputs)


def test_nothing_of_level_c3_is_kept() -> None:
    assert {entry.level for entry in ENTRIES.values()} <= set(RANK)
    for name in contract_names("trusted"):
        for column in contract(name).columns.values():
            assert column.level in RANK, f"{name}.{column.name}"


@pytest.mark.parametrize("name", contract_names("trusted"))
class TestEveryTrustedContract:
    def test_says_who_owns_it_and_what_one_row_is(self, name: str) -> None:
        found = contract(name)
        assert found.owner.strip()
        assert found.grain.startswith("one row per ")
        assert found.shape in ("state", "fact")
        assert found.not_covered
        assert found.retention_days
        assert found.retention_why

    def test_has_a_key_of_required_columns_that_starts_with_the_source(self, name: str) -> None:
        found = contract(name)
        assert found.key[0] == next(iter(found.columns)) == "source"
        for column in found.key:
            assert found.columns[column].required, f"{name}.{column}"

    def test_gives_facts_a_required_day(self, name: str) -> None:
        found = contract(name)
        assert (found.event_date is not None) == (found.shape == "fact")
        if found.event_date:
            assert found.columns[found.event_date].type == "date"
            assert found.columns[found.event_date].required

    def test_describes_every_column(self, name: str) -> None:
        for column in contract(name).business_columns.values():
            assert column.description, f"{name}.{column.name}"
            assert not column.allowed or column.type == "string"

    def test_gives_every_bound_a_limit_and_a_reason(self, name: str) -> None:
        for bound in contract(name).bounds:
            assert bound.why.strip(), f"{name}: {bound.name}"
            assert bound.min is not None or bound.max is not None
            assert bound.over in ("all", "arrived")
            assert bound.severity in ("stop", "warn")
            named = set(re.findall(r"\b(_?[a-z][a-z_]+)\b", re.sub(r"'[^']*'", "", bound.measure)))
            assert named & set(contract(name).columns) or bound.measure == "count(*)"


def test_every_trusted_table_of_the_design_has_a_contract() -> None:
    shapes = {contract(name).table: contract(name).shape for name in contract_names("trusted")}
    assert shapes == dict.fromkeys(STATES.split(), "state") | dict.fromkeys(FACTS.split(), "fact")
