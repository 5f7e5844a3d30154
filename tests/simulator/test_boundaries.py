"""People stand on both sides of every boundary of the shipped tags: measured on the delivered files of 5,000 people and six months.

A measure is SQL over the delivered files, one value per customer, card, member …; its cuts come from the registry's parameters if
the tag has them. It measures the source, with one row per core record; people with two records count twice.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from delivery_files import content

from lakehouse.settings.yaml_files import load_yaml
from simulator.simulation import simulate
from simulator.world.bank import BankPlan

REGISTRY = Path(__file__).resolve().parents[2] / "tags" / "registry"
CHINESE = {
    "core_accounts": "|",
    "core_risk_assessments": ",",
    "crm_customers": "|",
    "partner_leads": ",",
    "mall_points": ",",
}
OTHER = {
    "core_account_holders": ";",
    "core_holdings": ";",
    "core_cards": "|",
    "core_consents": "|",
    "core_ledger": "|",
}
BALANCES = "{'account_no': 'VARCHAR', 'class': 'VARCHAR', 'day': 'VARCHAR', 'balance': 'VARCHAR', 'currency': 'VARCHAR'}"

# measure → SQL giving column v; D is the business date
MEASURES = {
    "age": "SELECT date_diff('month', birth_date::DATE, D) / 12.0 v FROM core_customers, today WHERE birth_date IS NOT NULL",
    "document days left": "SELECT date_diff('day', D, id_expire::DATE) v FROM core_customers, today WHERE id_expire IS NOT NULL",
    "tenure": "SELECT date_diff('day', min(strptime(开户日期, '%Y%m%d')::DATE), any_value(D)) v FROM core_accounts, today GROUP BY 账号",
    "average aum of last month": "SELECT v FROM aum_by_month WHERE back = 1",
    "aum change": "SELECT a.v / b.v - 1 v FROM aum_by_month a JOIN aum_by_month b USING (cust_no) WHERE a.back = 1 AND b.back = 4 AND b.v >= 1000",
    "base of aum change": "SELECT v FROM aum_by_month WHERE back = 4",
    "most monthly aum": "SELECT max(v) v FROM aum_by_month WHERE back >= 1 GROUP BY cust_no",
    "month to date against tier": "SELECT a.v - (CASE WHEN b.v >= 6e6 THEN 6e6 WHEN b.v >= 5e5 THEN 5e5 ELSE 5e4 END) v"
    " FROM aum_by_month a JOIN aum_by_month b USING (cust_no) WHERE a.back = 0 AND b.back = 1 AND b.v >= 50000",
    "demand balance": "SELECT last v FROM spans WHERE class = 'DEMAND' AND until > (SELECT D FROM today)",
    "days to maturity": "SELECT date_diff('day', D, matures::DATE) v FROM core_holdings, today WHERE matures::DATE >= D AND state = 'A'",
    "payroll amount": "SELECT amount v FROM bookings WHERE txn_code = 'PAYROLL'",
    "payroll months of three": "SELECT count(DISTINCT date_trunc('month', day)) FILTER (txn_code = 'PAYROLL' AND amount >= 500) v FROM bookings"
    " WHERE day BETWEEN '2026-08-01' AND '2026-10-31' GROUP BY cust_no",
    "days since active transaction": "SELECT date_diff('day', max(day), any_value(D)) v FROM bookings, today WHERE initiator = 'C' GROUP BY cust_no",
    "customers without active transaction": "SELECT count(b.day) v FROM core_customers c LEFT JOIN bookings b ON b.cust_no = c.cust_no AND b.initiator = 'C' GROUP BY c.cust_no",
    "active days in 180": "SELECT count(DISTINCT day) v FROM bookings, today WHERE initiator = 'C' AND day > D - 180 GROUP BY cust_no",
    "inflow in 7 days": "SELECT sum(amount) v FROM bookings, today WHERE dc_flag = 'C' AND day > D - 7 GROUP BY cust_no",
    "outflow in 7 days": "SELECT sum(amount) v FROM bookings, today WHERE dc_flag = 'D' AND day > D - 7 GROUP BY cust_no",
    "inflow booking in 30 days": "SELECT max(amount) v FROM bookings, today WHERE dc_flag = 'C' AND day > D - 30 GROUP BY cust_no",
    "card spends in 90 days": "SELECT count(*) v FROM bookings, today WHERE txn_code = 'PURCHASE' AND day > D - 90 GROUP BY cust_no",
    "purchase days in 180": "SELECT count(DISTINCT day) v FROM bookings, today WHERE txn_code IN ('WEALTH_BUY', 'FUND_BUY') AND day > D - 180 GROUP BY cust_no",
    "early repayments": "SELECT count(*) FILTER (txn_code = 'LOAN_PREPAY' AND day > D - 90) v FROM bookings, today GROUP BY cust_no",
    "assessment days left": "SELECT date_diff('day', D, strptime(有效期至, '%Y/%m/%d')::DATE) v FROM core_risk_assessments, today",
    "assessments": "SELECT count(a.客户号) v FROM core_customers c LEFT JOIN core_risk_assessments a ON a.客户号 = c.cust_no GROUP BY c.cust_no",
    "risk held above capacity": "SELECT max(substr(h.risk, 2)::INT) - max(list_position(['保守型', '谨慎型', '稳健型', '进取型', '激进型'], a.风险等级)) v"
    " FROM core_holdings h JOIN owners o USING (account_no) JOIN core_risk_assessments a ON a.客户号 = o.cust_no WHERE h.risk IS NOT NULL GROUP BY o.cust_no",
    "card utilisation": "SELECT used_amount::DOUBLE / limit_amount::DOUBLE v FROM core_cards WHERE kind = 'C'",
    "card age": "SELECT date_diff('day', issued::DATE, D) v FROM core_cards, today WHERE kind = 'C' AND issued IS NOT NULL",
    "days past due": "SELECT dpd::INT v FROM core_loans UNION ALL SELECT dpd::INT FROM core_cards WHERE dpd IS NOT NULL",
    "late in 12 months": "SELECT late_12m::INT v FROM core_loans",
    "aml grade": "SELECT list_position(['L', 'ML', 'M', 'MH', 'H'], grade) v FROM core_account_controls WHERE type = 'AML_GRADE'",
    "controls": "SELECT count(*) FILTER (type IN ('FRAUD', 'STOP_PAYMENT', 'JUDICIAL')) v FROM core_account_controls GROUP BY cust_no",
    "days since login": "SELECT date_diff('day', max(\"at\"::DATE), any_value(D)) v FROM actions, today WHERE name = 'login' AND ok GROUP BY id",
    "registered days": "SELECT date_diff('day', registered_at::DATE, D) v FROM app_profiles, today",
    "login days in 30": "SELECT count(DISTINCT \"at\"::DATE) FILTER (\"at\"::DATE > D - 30) v FROM actions, today WHERE name = 'login' AND ok GROUP BY id",
    "logins today": "SELECT count(*) FILTER (\"at\"::DATE = D) v FROM actions, today WHERE name = 'login' AND ok GROUP BY id",
    "logins this month": "SELECT count(*) FILTER (\"at\"::DATE >= date_trunc('month', D)) v FROM actions, today WHERE name = 'login' AND ok GROUP BY id",
    "wealth views in 7 days": "SELECT count(*) FILTER (name = 'wealth_detail_view' AND \"at\"::DATE > D - 7) v FROM actions, today GROUP BY id",
    "deepest funnel step in 7 days": "SELECT max(coalesce(list_position(['wealth_detail_view', 'wealth_click_buy', 'wealth_risk_assess',"
    " 'wealth_password', 'wealth_purchase_ok'], name), 0)) v FROM actions, today WHERE \"at\"::DATE > D - 7 GROUP BY id",
    "activity left unfinished": "SELECT count(*) FILTER (name = 'activity_view') - count(*) FILTER (name = 'activity_done') v FROM actions, today WHERE \"at\"::DATE > D - 7 GROUP BY id",
    "content views in 30 days": "SELECT count(*) FILTER (name = 'content_view' AND \"at\"::DATE > D - 30) v FROM actions, today GROUP BY id",
    "events in 90 days": "SELECT count(*) v FROM actions, today WHERE \"at\"::DATE > D - 90 GROUP BY id",
    "wallet bound": "SELECT (wallet IS NOT NULL)::INT v FROM core_cards",
    "card state": "SELECT list_position(['APPLIED', 'APPROVED', 'ACTIVATED', 'BOUND', 'ACTIVE', 'SLEEPING', 'CANCELLED'], status) v FROM core_cards",
    "manager": "SELECT (m.cust_no IS NOT NULL)::INT v FROM core_customers c LEFT JOIN core_managers m USING (cust_no)",
    "consent granted": "SELECT (decision = 'Y')::INT v FROM core_consents",
    "flags": "SELECT (staff_flag = 'Y')::INT v FROM core_customers",
    "merchant": "SELECT (merchant_flag = 'Y')::INT v FROM core_customers",
    "dead": "SELECT (death_date IS NOT NULL)::INT v FROM core_customers",
    "insured": "SELECT (medical_flag = 'Y')::INT v FROM core_customers",
    "alerts": "SELECT (alerts_flag = 'Y')::INT v FROM core_customers",
    "referred": "SELECT count(r.cust_no) v FROM core_customers c LEFT JOIN core_customers r ON r.referrer = c.cust_no GROUP BY c.cust_no",
    "loan": "SELECT (l.account_no IS NOT NULL)::INT v FROM owners o LEFT JOIN core_loans l USING (account_no)",
    "points balance": "SELECT sum(积分::INT) v FROM mall_points GROUP BY 会员号",
    "points expiring in days": "SELECT date_diff('day', D, 有效期至::DATE) v FROM mall_points, today WHERE 类型 = '获取'",
    "days since first order": "SELECT date_diff('day', min(\"at\"::DATE), any_value(D)) v FROM mall_orders, today WHERE member <> '' GROUP BY member",
    "days since last order": "SELECT date_diff('day', max(\"at\"::DATE), any_value(D)) v FROM mall_orders, today WHERE member <> '' GROUP BY member",
    "orders": "SELECT count(DISTINCT order_no) v FROM mall_orders WHERE member <> '' GROUP BY member",
    "spend": "SELECT sum(amount::DOUBLE) v FROM mall_orders WHERE member <> '' GROUP BY member",
    "line quantity": "SELECT qty v FROM mall_orders",
    "contribution": "SELECT sum(CASE kind WHEN 'COST' THEN -amount::DOUBLE ELSE amount::DOUBLE END) v FROM core_ledger JOIN owners USING (account_no) GROUP BY cust_no",
}  # fmt: skip
# (tag, parameter or None, measure, cuts); a parameter's value is the cut
BOUNDARIES = [
    ("age_band", None, "age", [18, 25, 35, 45, 60]), ("special_groups", "silver_age", "age", None),
    ("id_document_state", "expiring_within_days", "document days left", None), ("id_document_state", None, "document days left", [0]),
    ("new_customer_day", "new_days", "tenure", None), ("new_customer_day", None, "tenure", [5, 10, 30, 60]), ("lifecycle_aum", "new_days", "tenure", None),
    ("aum_tier", "t1_from", "average aum of last month", None), ("aum_tier", "t2_from", "average aum of last month", None),
    ("aum_tier", "t3_from", "average aum of last month", None), ("aum_tier", "t4_from", "average aum of last month", None),
    ("aum_change_3m_ratio", "min_base", "base of aum change", None), ("lifecycle_aum", "zero_below", "most monthly aum", None),
    ("lifecycle_aum", "lost_min_average", "most monthly aum", None), ("lifecycle_aum", "lost_change", "aum change", None),
    ("lifecycle_aum", "down_change", "aum change", None), ("lifecycle_aum", "up_change", "aum change", None),
    ("is_downgrade_risk", None, "month to date against tier", [0]), ("product_class_count", "min_demand", "demand balance", None),
    ("is_dormant", "max_aum", "demand balance", None), ("is_dormant", None, "customers without active transaction", [1]),
    ("days_to_next_maturity", None, "days to maturity", [7, 30, 90]), ("is_payroll", "min_months", "payroll months of three", None),
    ("rfm_recency", None, "days since active transaction", [7, 30, 90]), ("rfm_frequency", "cuts", "active days in 180", None),
    ("rfm_monetary", "cuts", "average aum of last month", None), ("large_inflow_7d", "min_amount", "inflow in 7 days", None),
    ("large_outflow_7d", "min_amount", "outflow in 7 days", None), ("has_key_transaction_30d", "min_inflow", "inflow booking in 30 days", None),
    ("top_spend_category_90d", "min_transactions", "card spends in 90 days", None), ("has_repeat_purchase_180d", "min_days", "purchase days in 180", None),
    ("has_early_repayment_90d", None, "early repayments", [1]), ("risk_assessment_state", "expiring_within_days", "assessment days left", None),
    ("risk_assessment_state", None, "assessment days left", [0]), ("risk_capacity", None, "assessments", [1]), ("has_suitability_mismatch", None, "risk held above capacity", [1]),
    ("card_utilisation_ratio", None, "card utilisation", [1]), ("is_second_card_candidate", "max_utilisation", "card utilisation", None),
    ("is_second_card_candidate", "min_card_age_days", "card age", None), ("overdue_bucket", None, "days past due", [1, 31, 61, 91]),
    ("loan_class_worst", None, "days past due", [1, 91, 181, 361]), ("overdue_count_12m", None, "late in 12 months", [1]), ("aml_grade", None, "aml grade", [2, 3, 4, 5]),
    ("is_account_controlled", None, "controls", [1]), ("lifecycle_mau", "new_days", "registered days", None), ("lifecycle_mau", "active_days", "days since login", None),
    ("lifecycle_mau", "silent_days", "days since login", None), ("lifecycle_mau", "lost_days", "days since login", None), ("login_days_30d", None, "login days in 30", [1, 10]),
    ("is_dau", None, "logins today", [1]), ("is_mau", None, "logins this month", [1]), ("wealth_view_count_7d", None, "wealth views in 7 days", [1]),
    ("wealth_funnel_break_7d", None, "deepest funnel step in 7 days", [1, 2, 3, 4, 5]), ("has_dropped_out_of_activity_7d", None, "activity left unfinished", [1]),
    ("content_view_count_30d", None, "content views in 30 days", [1, 3]), ("top_interest_30d", "min_events", "events in 90 days", None), ("has_wallet_bound", None, "wallet bound", [1]),
    ("card_lifecycle", None, "card state", [2, 3, 4, 5, 6, 7]), ("has_relationship_manager", None, "manager", [1]), ("reachable_channels", None, "consent granted", [1]),
    ("is_staff", None, "flags", [1]), ("special_groups", None, "merchant", [1]), ("is_deceased", None, "dead", [1]), ("has_medical_insurance", None, "insured", [1]),
    ("has_transaction_alerts", None, "alerts", [1]), ("referral_count_365d", None, "referred", [1]), ("loan_balance", None, "loan", [1]), ("points_balance", None, "points balance", [1]),
    ("points_expiring_30d", None, "points expiring in days", [0, 30]), ("lifecycle_shop", "new_days", "days since first order", None),
    ("lifecycle_shop", "active_days", "days since last order", None), ("lifecycle_shop", "lapsing_days", "days since last order", None),
    ("shop_rfm_group", "frequent_orders", "orders", None), ("shop_rfm_group", "high_spend", "spend", None), ("large_line_ratio_365d", "min_line_quantity", "line quantity", None),
    ("is_wholesale", "min_orders", "orders", None), ("return_ratio_365d", None, "line quantity", [0]), ("contribution_12m", None, "contribution", [0]),
]  # fmt: skip
# What the delivered files of six months cannot show, and why.
CANNOT = {
    "is_dormant.min_inactive_days": "365 days without a booking need more than six months of history; customers without any booking are there",
    "rfm_recency.cuts of 180": "the savings accounts that sleep longest book every three months or never",
    "is_new_in_city.newcity_months": "no channel says since when somebody lives in a city",
    "is_payroll.min_amount": "salaries below 500 do not exist: the lowest is about 1,500",
    "channel_habit, fatigue, no_response_state, touch_count_7d, days_since_response": "receipts answer published audiences: they come by cdp demo",
    "is_global_control, has_global_control": "the platform draws it",
    "p_churn_90d, p_wealth_purchase_30d, predicted_value_12m, similarity_to_seed": "models score them",
    "top_interest_30d by topic, search_topics_30d": "no channel files its pages under topics but the partners their scenes",
}


def parameter(tag: str, name: str) -> list[float]:
    for path in REGISTRY.glob("*.yml"):
        for entry in load_yaml(path)["tags"]:
            if entry["code"] == tag:
                value = next(p["value"] for p in entry["params"] if p["name"] == name)
                return [float(cut) for cut in (value if isinstance(value, list) else [value])]
    raise LookupError(tag)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """DuckDB over the files of 5,000 people and six months on the first night; all columns are text."""
    out = tmp_path_factory.mktemp("boundaries")
    simulate(BankPlan(people=5_000, nights=1, history_months=6), out)
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    for folder in sorted((out / "inbox").iterdir()):
        feed = folder.name
        if feed in CHINESE:
            for path in folder.rglob("*.csv"):
                path.write_bytes(content(path).decode("gb18030").encode())
        pattern = f"'{folder}/*/*'"
        separator = CHINESE.get(feed) or OTHER.get(feed) or (";" if feed == "call_centre_contacts" else ",")
        shape = "header = true"
        if feed == "core_balances":
            shape = f"header = false, columns = {BALANCES}"
        if any(folder.rglob("*.jsonl*")):
            source = f"read_json({pattern}, format = 'newline_delimited', ignore_errors = true)"
        else:
            source = f"read_csv({pattern}, delim = '{separator}', {shape}, all_varchar = true, ignore_errors = true)"
        connection.execute(f"CREATE TABLE {feed} AS SELECT * FROM {source}")
    for sql in (
        "CREATE TABLE today AS SELECT DATE '2026-11-18' D",
        "UPDATE core_customers SET birth_date = NULL WHERE try_cast(birth_date AS DATE) IS NULL",
        "DELETE FROM core_risk_assessments WHERE try_strptime(评估日期, '%Y/%m/%d') IS NULL",
        "CREATE TABLE owners AS SELECT account_no, cust_no FROM core_account_holders WHERE role = 'OWNER'",
        "CREATE TABLE bookings AS SELECT DISTINCT cust_no, txn_no, txn_date::DATE AS day, dc_flag, amount::DOUBLE amount, txn_code, initiator"
        " FROM core_transactions JOIN owners USING (account_no) WHERE try_cast(txn_date AS DATE) IS NOT NULL",
        "CREATE TABLE actions AS SELECT \"user\".id id, event.name AS name, event.ok AS ok, left(event.\"at\"::VARCHAR, 10) AS \"at\" FROM app_events"
        " WHERE try_cast(left(event.\"at\"::VARCHAR, 10) AS DATE) IS NOT NULL",
        "CREATE TABLE spans AS SELECT cust_no, account_no, class, strptime(day, '%Y%m%d')::DATE AS since, balance::DOUBLE AS last,"
        " coalesce(lead(strptime(day, '%Y%m%d')::DATE) OVER (PARTITION BY account_no, class ORDER BY day), DATE '2026-11-19') AS until"
        " FROM core_balances JOIN owners USING (account_no) WHERE balance <> '-'",
        "CREATE TABLE aum_by_month AS SELECT cust_no, back, sum(last * greatest(0, date_diff('day', greatest(since, low), least(until, high))))"
        " / any_value(date_diff('day', low, high)) AS v FROM spans, (SELECT back, (DATE '2026-11-01' - to_months(back::INT))::DATE AS low,"
        " least((DATE '2026-12-01' - to_months(back::INT))::DATE, DATE '2026-11-19') AS high FROM range(0, 7) t(back)) GROUP BY ALL",
    ):  # fmt: skip
        connection.execute(sql)
    return connection


@pytest.mark.parametrize(
    ("tag", "name", "measure", "cuts"), BOUNDARIES, ids=lambda v: str(v) if isinstance(v, str) else ""
)
def test_people_stand_on_both_sides(files, tag, name, measure, cuts):
    for cut in cuts or parameter(tag, name):
        below, above = files.execute(
            f"SELECT count(*) FILTER (v < {cut}), count(*) FILTER (v >= {cut}) FROM ({MEASURES[measure]})"
        ).fetchone()
        assert below > 0, f"nobody below {cut}"
        assert above > 0, f"nobody at or above {cut}"


def test_every_tag_with_a_boundary_is_measured_or_named_with_its_reason():
    tags = {tag for tag, *_ in BOUNDARIES} | {
        word.strip(",").split(".")[0] for key in CANNOT for word in key.split()
    }
    with_parameters = {
        entry["code"]
        for path in REGISTRY.glob("*.yml")
        for entry in load_yaml(path)["tags"]
        if entry.get("params")
    }
    # the same cuts under another name
    same = {
        "payday",
        "has_school_fee_365d",
        "aum_gap_to_next_tier",
        "rfm_group",
        "preferred_hour_band",
        "preferred_device",
        "scenario_ladder",
        "risk_assessed_until",
        "age",
    }
    assert with_parameters - tags - same == set()
