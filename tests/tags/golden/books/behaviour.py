"""Golden cases of what a person does: logins, own transactions, the wealth funnel, wallets, cards, large movements, lifecycles.

Instants are written in UTC; the workspace's day begins at 16:00 UTC of the day before, and `occurred_on` says it.
"""

from __future__ import annotations

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import cases_of, owned_accounts

REGISTERED = {
    "app0": "2024-03-31", "app30": "2024-03-01", "app31": "2024-02-29", "in1": "2020-01-01", "in0": "2020-01-01", "yesterday": "2020-01-01",
    "l29": "2020-01-01", "l30": "2020-01-01", "l31": "2020-01-01", "l60": "2020-01-01", "l61": "2020-01-01", "l180": "2020-01-01",
    "l181": "2020-01-01", "l729": "2020-01-01", "l730": "2020-01-01", "failed": "2020-01-01", "silent": "2020-01-01", "mature": "2020-01-01",
    "tomorrow": "2024-04-01",
}  # fmt: skip
LOGINS = """
    | source_key | occurred_on | event_name | is_success |
    | in1        | 2024-03-01  | login      | true       |
    | in0        | 2024-03-31  | login      | true       |
    | in0        | 2024-03-31  | login      | true       |
    | in0        | 2024-03-02  | login      | true       |
    | in0        | 2024-03-01  | login      | true       |
    | l29        | 2024-03-02  | login      | true       |
    | l30        | 2024-03-01  | login      | true       |
    | l31        | 2024-02-29  | login      | true       |
    | l60        | 2024-01-31  | login      | true       |
    | l61        | 2024-01-30  | login      | true       |
    | l180       | 2023-10-03  | login      | true       |
    | l181       | 2023-10-02  | login      | true       |
    | l729       | 2022-04-02  | login      | true       |
    | l730       | 2022-04-01  | login      | true       |
    | failed     | 2024-03-31  | login      | false      |
    | failed     | 2024-03-31  | login      | -          |
    | failed     | 2024-03-31  | logout     | true       |
    | unknown    | 2024-03-31  | login      | true       |
    | mature     | 2024-03-01  | login      | true       |
    | yesterday  | 2024-03-30  | login      | true       |
"""
FUNNELS = """
    | source_key | occurred_on | occurred_at         | event_name         |
    | viewed     | 2024-03-25  | 2024-03-24T16:00:00 | wealth_detail_view |
    | viewed     | 2024-03-31  | 2024-03-31T15:59:59 | wealth_detail_view |
    | viewed7    | 2024-03-24  | 2024-03-24T15:59:59 | wealth_detail_view |
    | viewed7    | 2024-03-24  | 2024-03-24T15:59:59 | wealth_password    |
    | clicked    | 2024-03-26  | 2024-03-26T01:00:00 | wealth_click_buy   |
    | clicked    | 2024-03-27  | 2024-03-27T01:00:00 | wealth_detail_view |
    | assessed   | 2024-03-26  | 2024-03-26T01:00:00 | wealth_risk_assess |
    | password   | 2024-03-26  | 2024-03-26T01:00:00 | wealth_password    |
    | bought     | 2024-03-26  | 2024-03-26T01:00:00 | wealth_password    |
    | bought     | 2024-03-26  | 2024-03-26T01:00:01 | wealth_purchase_ok |
    | same       | 2024-03-26  | 2024-03-26T01:00:00 | wealth_password    |
    | same       | 2024-03-26  | 2024-03-26T01:00:00 | wealth_purchase_ok |
    | again      | 2024-03-26  | 2024-03-26T01:00:00 | wealth_password    |
    | again      | 2024-03-26  | 2024-03-26T01:00:01 | wealth_purchase_ok |
    | again      | 2024-03-26  | 2024-03-26T01:00:02 | wealth_click_buy   |
    | content    | 2024-03-26  | 2024-03-26T01:00:00 | content_view       |
    | bind30     | 2024-03-02  | 2024-03-02T01:00:00 | wallet_bind        |
    | bind30     | 2024-03-31  | 2024-03-31T01:00:00 | wallet_bind        |
    | bind31     | 2024-03-01  | 2024-03-01T01:00:00 | wallet_bind        |
"""
PEOPLE = (
    *REGISTERED, "unknown", "viewed", "viewed7", "clicked", "assessed", "password", "bought", "same", "again", "content", "bind30", "bind31",
    "t0d", "t89", "t90", "t1094", "t1095", "bank", "passive", "inflow7", "inflow8", "inflow_less", "inflow_swept", "outflow7", "outflow8",
    "outflow_less", "outflow_swept", "w_now", "w_today", "w_ended", "w_later", "w29", "w30", "keyless", "key_in", "c_active", "c_sleeping", "c_cancelled", "c_debit",
    "c_applied", "n0", "n100", "n101", "old", "zero99", "zero100", "lost", "lost_small", "down", "down_less", "up", "up_less", "steady",
    "d365", "d364", "d10", "d11", "d_social", "d_both", "d_custody", "d_loan", "d_wealth", "d_repays", "d_closed", "d_owed",
    "k_t2", "k_t2ok", "k_t1", "k_t3", "k_t4", "k_t4ok", "idle",
)  # fmt: skip
PROFILES: list[tuple[str, str, str]] = []
MOVEMENTS = """
    | account_id    | transacted_on | amount_base | direction | transaction_type | initiator | is_reversal |
    | t0d           | 2024-03-31    | 10.10       | debit     | PURCHASE         | C         | -           |
    | t0d           | 2024-03-31    | 20.20       | debit     | TRANSFER         | C         | false       |
    | t0d           | 2024-03-31    | 999         | credit    | CASH             | C         | -           |
    | t89           | 2024-01-02    | 0.01        | debit     | PURCHASE         | C         | -           |
    | t90           | 2024-01-01    | 5           | debit     | PURCHASE         | C         | -           |
    | t1094         | 2021-04-02    | 5           | debit     | PURCHASE         | C         | -           |
    | t1095         | 2021-04-01    | 5           | debit     | PURCHASE         | C         | -           |
    | bank          | 2024-03-31    | 5           | debit     | PURCHASE         | B         | -           |
    | bank          | 2024-03-31    | 5           | debit     | PURCHASE         | S         | -           |
    | passive       | 2024-03-31    | 5           | debit     | FEE              | C         | -           |
    | passive       | 2024-03-31    | 5           | credit    | INTEREST         | C         | -           |
    | passive       | 2024-03-31    | 5           | debit     | SWEEP            | C         | -           |
    | passive       | 2024-03-31    | 5           | debit     | PURCHASE         | C         | true        |
    | inflow7       | 2024-03-25    | 50000       | credit    | TRANSFER         | B         | -           |
    | inflow8       | 2024-03-24    | 50000       | credit    | TRANSFER         | B         | -           |
    | inflow_less   | 2024-03-31    | 49999.99    | credit    | TRANSFER         | B         | -           |
    | inflow_swept  | 2024-03-31    | 50000       | credit    | SWEEP            | B         | -           |
    | inflow_swept  | 2024-03-31    | 50000       | credit    | TRANSFER         | B         | true        |
    | outflow7      | 2024-03-25    | 50000       | debit     | TRANSFER         | B         | -           |
    | outflow8      | 2024-03-24    | 50000       | debit     | TRANSFER         | B         | -           |
    | outflow_less  | 2024-03-31    | 49999.99    | debit     | TRANSFER         | B         | -           |
    | outflow_swept | 2024-03-31    | 50000       | debit     | SWEEP            | B         | -           |
    | outflow_swept | 2024-03-31    | 50000       | debit     | TRANSFER         | B         | true        |
    | key_in        | 2024-03-02    | 1000        | credit    | TRANSFER         | B         | -           |
    | keyless       | 2024-03-02    | 999.99      | credit    | TRANSFER         | B         | -           |
    | mature        | 2024-03-02    | 1           | debit     | HOUSEHOLD        | B         | -           |
    | d365          | 2023-04-01    | 1           | debit     | PURCHASE         | C         | -           |
    | d364          | 2023-04-02    | 1           | debit     | PURCHASE         | C         | -           |
"""
CARDS = """
    | card_id   | source_key  | card_type | status    |
    | w_now     | w_now       | debit     | ACTIVE    |
    | w_today   | w_today     | debit     | ACTIVE    |
    | w_ended   | w_ended     | debit     | ACTIVE    |
    | w_later   | w_later     | debit     | ACTIVE    |
    | w29       | w29         | debit     | ACTIVE    |
    | w30       | w30         | debit     | ACTIVE    |
    | c1        | c_active    | credit    | SLEEPING  |
    | c2        | c_active    | credit    | ACTIVE    |
    | c3        | c_active    | credit    | BOUND     |
    | c4        | c_sleeping  | credit    | SLEEPING  |
    | c5        | c_sleeping  | credit    | APPROVED  |
    | c6        | c_cancelled | credit    | CANCELLED |
    | c7        | c_debit     | debit     | ACTIVE    |
    | c8        | c_applied   | credit    | APPLIED   |
    | c9        | c_applied   | credit    | CANCELLED |
"""
WALLETS = """
    | from_key | to_key | started_on | ended_on   |
    | w_now    | pay    | -          | 2024-04-01 |
    | w_today  | pay    | 2024-03-31 | -          |
    | w_ended  | pay    | 2024-01-01 | 2024-03-31 |
    | w_later  | pay    | 2024-04-01 | -          |
    | w29      | pay    | 2024-03-02 | 2024-03-05 |
    | w29      | wx     | 2024-01-01 | -          |
    | w30      | pay    | 2024-03-01 | -          |
"""
# Balances of the lifecycle by assets: the month of November, and all days from December on.
ASSETS = {
    "n0": ("0", "500"), "n100": ("0", "500"), "n101": ("0", "500"), "old": ("500", "500"), "zero99": ("99.99", "0"),
    "zero100": ("100", "100"), "lost": ("10000", "5000"), "lost_small": ("9999.98", "4999.99"), "down": ("1000", "800"),
    "down_less": ("1000", "801"), "up": ("1000", "1200"), "up_less": ("1000", "1199"), "steady": ("999.99", "5000"),
}  # fmt: skip
DORMANT = {
    "d365": "10", "d364": "10", "d10": "10", "d11": "10.01", "d_social": "0", "d_both": "0", "d_custody": "0", "d_loan": "0",
    "d_wealth": "-1", "d_repays": "0", "d_owed": "-5",
}  # fmt: skip
# Tiers by February, and what March began with.
RISKS = {
    "k_t2": ("50000", "49999"), "k_t2ok": ("50000", "50000"), "k_t1": ("49999.99", "1"), "k_t3": ("500000", "400000"),
    "k_t4": ("6000000", "5999999.99"), "k_t4ok": ("6000000", "7000000"),
}  # fmt: skip


def _balances() -> list[dict[str, str]]:
    rows = []
    for name, (november, later) in ASSETS.items():
        rows += [(name, "demand", "2023-11-01", november), (name, "demand", "2023-12-01", later)]
    rows += [(name, "demand", "2023-01-01", amount) for name, amount in DORMANT.items()]
    rows += [("d_custody", "custody", "2023-01-01", "1"), ("d_wealth", "wealth", "2023-01-01", "1")]
    for name, (february, march) in RISKS.items():
        rows += [(name, "demand", "2024-02-01", february), (name, "demand", "2024-03-01", march)]
    names = ("account_id", "product_class", "balance_on", "balance")
    return [{**dict(zip(names, row, strict=True)), "balance_base": row[-1]} for row in rows]


_APART = ("n0", "n100", "n101", "d_social", "d_both", "d_closed", "unknown", "idle", *REGISTERED)
ROWS = [
    *owned_accounts(*(name for name in PEOPLE if name not in _APART), "mature"),
    *owned_accounts("n0", opened_on="2024-03-31"),
    *owned_accounts("n100", opened_on="2023-12-22"),
    *owned_accounts("n101", opened_on="2023-12-21"),
    *owned_accounts("d_social", account_type="social_security"),
    *owned_accounts("d_both", account_type="housing_fund"),
    *owned_accounts("d_closed", status="closed"),
    ("trusted.accounts", [{"account_id": "d_both2", "account_type": "savings"}]),
    ("trusted.relationships", [{"from_key": "d_both", "to_key": "d_both2"}]),
    ("trusted.identifier_observations", [
        *({"source_key": name, "namespace": "app_user_id@app", "value": name, "observed_on": on} for name, on in REGISTERED.items()),
        {"source_key": "app31", "namespace": "app_user_id@other", "value": "x", "observed_on": "2024-03-31"},
        {"source_key": "unknown", "namespace": "device_id", "value": "d"},
        {"source_key": "idle", "namespace": "app_user_id@app", "value": "gone", "valid_to": "2024-03-31"},
    ]),
    ("trusted.events", [{**row, "event_id": f"login-{at}", "occurred_at": f"{row['occurred_on']}T01:00:00"} for at, row in enumerate(rows_of(LOGINS))]),
    ("trusted.events", FUNNELS),
    ("trusted.transactions", MOVEMENTS),
    ("trusted.cards", CARDS),
    ("trusted.relationships", [{"relationship_type": "card_wallet", "to_source": "alipay", "role": "wallet", **row} for row in rows_of(WALLETS)]),
    ("trusted.balances", _balances()),
    ("trusted.loans", [
        {"account_id": "d_loan", "outstanding": "1"}, {"account_id": "nobodys", "outstanding": "1", "repayment_account_id": "d_repays"},
    ]),
]  # fmt: skip
CASES = cases_of(
    """
    | tag                   | person   | kind     | answer  | why |
    | is_app_registered     | in1      | positive | true    | an app_user_id |
    |                       | unknown  | negative | false   | a device only |
    |                       | idle     | boundary | false   | the observation ended on the day |
    |                       | t0d      | default  | false   | nothing observed |
    | app_registered_days   | app31    | positive | 31      | the earlier of two apps: 29 February |
    |                       | app0     | boundary | 0       | on the day |
    |                       | tomorrow | boundary | null not_applicable | a day that has not come |
    |                       | unknown  | negative | null not_applicable | a device only |
    |                       | t0d      | null     | null not_applicable | not registered |
    | is_mau                | in0      | positive | true    | logins in March |
    |                       | in1      | boundary | true    | the first day of the month |
    |                       | l31      | boundary | false   | the last day of February |
    |                       | failed   | negative | false   | a failed login, one of unknown success, a logout |
    |                       | silent   | default  | false   | registered, no event |
    |                       | unknown  | null     | null not_applicable | a login, and not registered |
    | is_dau                | in0      | positive | true    | on the day |
    |                       | yesterday | boundary | false  | yesterday |
    |                       | failed   | negative | false   | a failed login, one of unknown success, a logout |
    |                       | silent   | default  | false   | registered, no event |
    |                       | unknown  | null     | null not_applicable | a login, and not registered |
    | login_days_30d        | in0      | positive | 2       | twice on the day, once on the first day of 30; the day before is outside |
    |                       | l29      | boundary | 1       | the first day of 30 |
    |                       | l30      | boundary | 0       | a day before the window |
    |                       | failed   | negative | 0       | a failed login, one of unknown success, a logout |
    |                       | silent   | default  | 0       | registered, no event |
    |                       | unknown  | null     | null not_applicable | a login, and not registered |
    | days_since_login      | in0      | positive | 0       | the latest of several |
    |                       | l31      | positive | 31      | over the end of a month |
    |                       | l729     | boundary | 729     | the last day looked back to |
    |                       | l730     | boundary | null not_applicable | a day earlier |
    |                       | failed   | negative | null not_applicable | a failed login, one of unknown success, a logout |
    |                       | silent   | null     | null not_applicable | never |
    | days_since_active_txn | t0d      | positive | 0       | on the day |
    |                       | t1094    | boundary | 1094    | the last day looked back to |
    |                       | t1095    | boundary | null not_applicable | a day earlier |
    |                       | bank     | negative | null not_applicable | started by the bank and by a system |
    |                       | passive  | negative | null not_applicable | fee, interest, sweep, reversal |
    |                       | keyless  | null     | null not_applicable | only the bank moved money |
    | active_txn_count_90d  | t0d      | positive | 3       | in and out |
    |                       | t89      | boundary | 1       | the first day of 90 |
    |                       | t90      | boundary | 0       | a day before the window |
    |                       | passive  | negative | 0       | fee, interest, sweep, reversal |
    |                       | idle     | default  | 0       | no account |
    | active_txn_amount_90d | t0d      | positive | 30.30   | 10.10 and 20.20; the inflow does not count |
    |                       | t89      | boundary | 0.01    | the first day of 90 |
    |                       | t90      | boundary | 0       | a day before the window |
    |                       | passive  | negative | 0       | fee, sweep, reversal |
    |                       | idle     | default  | 0       | no account |
    | has_key_action_30d    | key_in   | boundary | true    | an inflow of 1,000 on the first day of 30 |
    |                       | keyless  | boundary | false   | 999.99 |
    |                       | bind30   | positive | true    | the event of a binding, on the first day of 30 |
    |                       | bind31   | boundary | false   | that event a day earlier |
    |                       | w29      | boundary | true    | a binding that began on the first day of 30, ended or not |
    |                       | w30      | boundary | false   | a binding that began a day earlier |
    |                       | t0d      | negative | false   | an inflow of 999 and purchases of goods |
    |                       | idle     | default  | false   | nothing |
    | wealth_view_count_7d  | viewed   | positive | 2       | the first second of seven days and the last |
    |                       | viewed7  | boundary | 0       | a second before the window |
    |                       | content  | negative | 0       | another view |
    |                       | idle     | default  | 0       | no event |
    | wealth_funnel_break_7d | viewed  | positive | VIEW    | nothing deeper |
    |                       | clicked  | positive | CLICK_BUY | the deepest, though a view came later |
    |                       | assessed | positive | ASSESS  | risk assessed |
    |                       | password | positive | PASSWORD | password asked |
    |                       | again    | boundary | CLICK_BUY | after the purchase it begins anew |
    |                       | same     | boundary | NONE    | a purchase of the same instant is after |
    |                       | viewed7  | boundary | NONE    | a second before the window |
    |                       | bought   | negative | NONE    | a purchase came after |
    |                       | idle     | default  | NONE    | no event |
    | has_wallet_bound      | w_now    | positive | true    | bound, until tomorrow |
    |                       | w_today  | boundary | true    | bound from today |
    |                       | w_ended  | boundary | false   | ended today |
    |                       | w_later  | boundary | false   | from tomorrow |
    |                       | c_debit  | negative | false   | a card without a wallet |
    |                       | idle     | default  | false   | no card |
    | days_since_wallet_bound | w30    | positive | 30      | 1 March |
    |                       | w29      | boundary | 29      | the later of two, although it ended |
    |                       | w_today  | boundary | 0       | today |
    |                       | w_later  | boundary | null not_applicable | tomorrow |
    |                       | w_now    | negative | null not_applicable | bound on an unknown day |
    |                       | idle     | null     | null not_applicable | never |
    | wallet_bind_count_30d | bind30   | positive | 2       | the first and the last day of 30 |
    |                       | bind31   | boundary | 0       | a day earlier |
    |                       | content  | negative | 0       | another event |
    |                       | idle     | default  | 0       | no event |
    | large_inflow_7d       | inflow7  | positive | true    | 50,000 on the first day of 7 |
    |                       | inflow8  | boundary | false   | a day earlier |
    |                       | inflow_less | boundary | false | a cent less |
    |                       | inflow_swept | negative | false | a sweep and a reversal |
    |                       | outflow7 | negative | false   | an outflow |
    |                       | idle     | default  | false   | no account |
    | large_outflow_7d      | outflow7 | positive | true    | 50,000 on the first day of 7 |
    |                       | outflow8 | boundary | false   | a day earlier |
    |                       | outflow_less | boundary | false | a cent less |
    |                       | outflow_swept | negative | false | a sweep and a reversal |
    |                       | inflow7  | negative | false   | an inflow |
    |                       | idle     | default  | false   | no account |
    | card_lifecycle        | c_active | positive | ACTIVE  | the best of three |
    |                       | c_sleeping | boundary | SLEEPING | before APPROVED in the order |
    |                       | c_applied | boundary | APPLIED | before CANCELLED in the order |
    |                       | c_cancelled | positive | CANCELLED | the only one |
    |                       | c_debit  | negative | null not_applicable | a debit card |
    |                       | idle     | null     | null not_applicable | no card |
    | lifecycle_mau         | app0     | positive | NEW     | registered today |
    |                       | app30    | boundary | NEW     | registered 30 days ago |
    |                       | app31    | boundary | DORMANT | registered 31 days ago, never there |
    |                       | mature   | boundary | MATURE  | last login 30 days ago and a bill paid |
    |                       | l30      | boundary | GROW    | last login 30 days ago |
    |                       | l31      | boundary | SILENT  | 31 days |
    |                       | l60      | boundary | SILENT  | 60 days |
    |                       | l61      | boundary | LOST    | 61 days |
    |                       | l180     | boundary | LOST    | 180 days |
    |                       | l181     | boundary | DORMANT | 181 days |
    |                       | failed   | negative | DORMANT | no login that succeeded |
    |                       | unknown  | default  | POTENTIAL | a login, and not registered |
    | lifecycle_aum         | n0       | positive | NEW     | opened today |
    |                       | n100     | boundary | NEW     | opened 100 days ago |
    |                       | n101     | boundary | STABLE  | 101 days; no base in November |
    |                       | zero99   | boundary | ZERO    | 99.99 at best |
    |                       | zero100  | boundary | STABLE  | 100 at best; the base is too small for a change |
    |                       | lost     | boundary | LOST    | -0.5 from 10,000 |
    |                       | lost_small | boundary | DOWN  | -0.5 from 9,999.98 |
    |                       | down     | boundary | DOWN    | -0.2 |
    |                       | down_less | boundary | STABLE | -0.199 |
    |                       | up       | boundary | UP      | 0.2 |
    |                       | up_less  | boundary | STABLE  | 0.199 |
    |                       | steady   | negative | STABLE  | five times as much, from a base of 999.99 |
    |                       | idle     | null     | null not_applicable | no account |
    | new_customer_day      | n0       | positive | 0       | opened today |
    |                       | n100     | boundary | 100     | opened 100 days ago |
    |                       | n101     | boundary | null not_applicable | 101 days |
    |                       | old      | negative | null not_applicable | since 2020 |
    |                       | idle     | null     | null not_applicable | no account |
    | is_dormant            | d365     | positive | true    | 365 days and 10.00 |
    |                       | d364     | boundary | false   | 364 days |
    |                       | d10      | boundary | true    | never, and 10.00 |
    |                       | d11      | boundary | false   | 10.01 |
    |                       | d_owed   | positive | true    | an overdraft is at most 10 |
    |                       | d_social | negative | false   | only a social-security account |
    |                       | d_both   | boundary | true    | a savings account beside it |
    |                       | d_custody | negative | false  | third-party custody |
    |                       | d_loan   | negative | false   | a loan |
    |                       | d_wealth | negative | false   | wealth |
    |                       | d_repays | negative | false   | instalments are drawn from it |
    |                       | idle     | default  | false   | no account |
    | is_downgrade_risk     | k_t2     | positive | true    | T2, and 49,999 in March |
    |                       | k_t2ok   | boundary | false   | exactly the bound |
    |                       | k_t1     | negative | false   | T1 has no risk |
    |                       | k_t3     | positive | true    | T3, and 400,000 in March |
    |                       | k_t4     | boundary | true    | T4, and a cent below |
    |                       | k_t4ok   | negative | false   | T4, and more than before |
    |                       | idle     | default  | false   | no account |
"""
)
