"""Golden cases of what a person brings: balances by day and month, tiers, classes, wages, loans, purchases.

LM is February 2024 with 29 days, LM-3 November 2023 with 30, LM-5 September 2023 with 30; March has 31 days up to D.
"""

from __future__ import annotations

import datetime as dt
from itertools import product

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import D, cases_of, owned_accounts

# People with one balance since 2023, the same on every day.
CONSTANT = {
    "m1": "999.99", "m2": "1000", "t0": "9999.99", "t1": "10000", "t1end": "49999.99", "t2": "50000", "t2end": "499999.99",
    "t3": "500000", "t3end": "5999999.99", "t4": "6000000", "owed": "-28",
}  # fmt: skip
# Days since the one active transaction of each.
RECENCY = {"r7": 7, "r8": 8, "r30": 30, "r31": 31, "r90": 90, "r91": 91, "r180": 180, "r181": 181}
# Days with an active transaction, the first of them 180 days ago (D-179), and one a day before the window.
FREQUENCY = {"f2": 2, "f3": 3, "f7": 7, "f8": 8, "f17": 17, "f18": 18, "f35": 35, "f36": 36}
# One person for each cell of RFM: high or low in M, R and F.
CELLS = {f"cell{m}{r}{f}": (m, r, f) for m, r, f in product((0, 1), repeat=3)}
OTHERS = (
    "leapday", "march", "edge", "nov", "sep", "aug", "owing", "half", "third", "negative", "rich", "full", "held", "late", "units", "sold",
    "foreign", "bad", "repaid", "matures", "matured", "longest", "pays", "misses", "small", "reversed", "third_cent", "buys", "buys_early", "buys_once", "buys_back",
    "in30", "in29", "in31", "swept", "bill", "draws", "repays", "repays_paid", "ledgerless", "holder", "bound_only", "by_account",
)  # fmt: skip
ACCOUNTLESS = ("nobody", "joint")
SAVERS = (
    *CONSTANT,
    *RECENCY,
    *FREQUENCY,
    *CELLS,
    *(name for name in OTHERS if name not in ("leapday", "march", "ledgerless")),
)
PEOPLE = (*CONSTANT, *RECENCY, *FREQUENCY, *CELLS, *OTHERS, *ACCOUNTLESS)
PROFILES: list[tuple[str, str, str]] = []

BALANCES = """
    | account_id | product_class | balance_on | balance | _arrived_on |
    | leapday    | demand        | 2024-02-29 | 29000   | 2024-02-29  |
    | march      | demand        | 2024-03-31 | 31000   | 2024-03-31  |
    | edge       | demand        | 2024-01-31 | 29.00   | 2024-01-31  |
    | edge       | demand        | 2024-02-02 | 0       | 2024-02-02  |
    | edge       | demand        | 2024-03-01 | 6.20    | 2024-03-01  |
    | edge       | demand        | 2024-03-06 | 0       | 2024-03-06  |
    | nov        | demand        | 2023-11-30 | 0.15    | 2023-11-30  |
    | nov        | demand        | 2023-12-01 | 0       | 2023-12-01  |
    | sep        | demand        | 2023-09-30 | 200     | 2023-09-30  |
    | sep        | demand        | 2023-10-01 | 0       | 2023-10-01  |
    | aug        | demand        | 2023-08-31 | 310     | 2023-08-31  |
    | aug        | demand        | 2023-09-01 | 0       | 2023-09-01  |
    | owing      | demand        | 2024-02-01 | -29     | 2024-02-01  |
    | half       | demand        | 2023-11-01 | 2000    | 2023-11-01  |
    | half       | demand        | 2023-12-01 | 1000    | 2023-12-01  |
    | third      | demand        | 2023-11-01 | 3000    | 2023-11-01  |
    | third      | demand        | 2023-12-01 | 1000    | 2023-12-01  |
    | negative   | demand        | 2023-11-01 | 1000    | 2023-11-01  |
    | negative   | demand        | 2023-12-01 | -1000   | 2023-12-01  |
    | rich       | demand        | 2024-03-30 | 99.99   | 2024-03-30  |
    | rich       | time          | 2024-03-30 | 100     | 2024-03-30  |
    | rich       | wealth        | 2024-03-30 | 200.50  | 2024-03-30  |
    | rich       | fund          | 2024-03-30 | 300     | 2024-03-30  |
    | rich       | insurance     | 2024-03-30 | 10      | 2024-03-30  |
    | rich       | bond          | 2024-03-30 | 20      | 2024-03-30  |
    | rich       | metal         | 2024-03-30 | 30      | 2024-03-30  |
    | rich       | trust         | 2024-03-30 | 40      | 2024-03-30  |
    | rich       | custody       | 2024-03-30 | 999     | 2024-03-30  |
    | rich       | loan          | 2024-03-30 | 777     | 2024-03-30  |
    | full       | demand        | 2024-03-31 | 100     | 2024-03-31  |
    | full       | time          | 2024-03-31 | 0.01    | 2024-03-31  |
    | full       | wealth        | 2024-03-31 | 0.01    | 2024-03-31  |
    | full       | fund          | 2024-03-31 | 0.01    | 2024-03-31  |
    | full       | insurance     | 2024-03-31 | 0.01    | 2024-03-31  |
    | full       | metal         | 2024-03-31 | 0.01    | 2024-03-31  |
    | held       | time          | 2024-03-30 | 70      | 2024-03-30  |
    | held       | time          | 2024-03-31 | 0       | 2024-03-31  |
    | held       | wealth        | 2024-03-31 | 0       | 2024-03-31  |
    | held       | fund          | 2024-03-30 | 70      | 2024-03-30  |
    | held       | fund          | 2024-03-31 | 0       | 2024-03-31  |
    | late       | demand        | 2024-03-30 | 1       | 2024-03-30  |
    | late       | demand        | 2024-03-30 | 5       | 2024-03-31  |
    | late       | demand        | 2024-03-31 | 7       | 2024-04-01  |
    | late       | time          | 2024-04-01 | 9       | 2024-03-31  |
    | late       | wealth        | 2024-04-01 | 9       | 2024-03-31  |
    | late       | wealth        | 2024-03-31 | 2       | 2024-03-31  |
    | late       | time          | 2024-03-31 | 3       | 2024-03-31  |
    | units      | fund          | 2024-03-30 | 150     | 2024-03-30  |
    | sold       | fund          | 2024-03-30 | 0       | 2024-03-30  |
    | nobodys    | demand        | 2024-03-30 | 1234    | 2024-03-30  |
"""
HOLDINGS = """
    | account_id | product_class | product_id | quantity | balance | currency | balance_base | matures_on | status   |
    | units      | fund          | p2         | 100.5    | 150     | CNY      | -            | -          | active   |
    | units      | fund          | p1         | 1.005    | 150     | CNY      | -            | -          | active   |
    | late       | fund          | pold       | 10       | 44      | CNY      | -            | -          | active   |
    | sold       | fund          | p2         | 100.5    | 150     | CNY      | -            | -          | redeemed |
    | foreign    | fund          | p2         | 100      | 100     | USD      | 700          | -          | active   |
    | matures    | wealth        | p9         | -        | 100     | CNY      | -            | 2024-04-10 | active   |
    | matures    | time          | p9         | -        | 100     | CNY      | -            | 2024-04-09 | active   |
    | matures    | time          | p9         | -        | 100     | CNY      | -            | 2024-04-01 | redeemed |
    | matures    | insurance     | p9         | -        | 100     | CNY      | -            | 2024-04-01 | active   |
    | matured    | wealth        | p9         | -        | 100     | CNY      | -            | 2024-03-30 | active   |
    | rich       | wealth        | p9         | -        | 100     | CNY      | -            | 2024-03-31 | active   |
    | longest    | time          | p9         | -        | 100     | CNY      | -            | 2034-03-29 | active   |
"""
PRODUCTS = """
    | product_id | product_class | unit_value | unit_value_on |
    | p1         | fund          | 1          | 2024-03-31    |
    | p2         | fund          | 2          | 2024-03-30    |
    | pold       | fund          | 9          | 2024-04-01    |
"""
LOANS = """
    | account_id | outstanding | outstanding_base | currency | status    | repayment_account_id |
    | rich       | 500.25      | -                | CNY      | active    | -                    |
    | full       | 0.01        | -                | CNY      | active    | -                    |
    | bad        | 50          | -                | CNY      | active    | repays               |
    | bad        | 100         | 700              | USD      | defaulted | -                    |
    | bad        | 999         | -                | CNY      | approved  | repays_paid          |
    | repaid     | 2000        | -                | CNY      | paid_off  | repays_paid          |
    | bad        | 0           | -                | CNY      | active    | ledgerless           |
"""
CARDS = """
    | source_key | account_id | card_type | status |
    | rich       | -          | debit     | ACTIVE |
    | full       | -          | credit    | ACTIVE |
    | holder     | t0         | debit     | ACTIVE |
    | bound_only | -          | debit     | BOUND  |
    | -          | by_account | credit    | ACTIVE |
"""
WAGES = """
    | account_id | transacted_on | amount_base | transaction_type | direction | is_reversal |
    | pays       | 2023-12-01    | 500         | PAYROLL          | credit    | -           |
    | pays       | 2023-12-31    | 100         | PAYROLL          | credit    | -           |
    | pays       | 2024-02-29    | 500         | PAYROLL          | credit    | -           |
    | misses     | 2023-11-30    | 500         | PAYROLL          | credit    | -           |
    | misses     | 2024-01-15    | 500         | PAYROLL          | credit    | -           |
    | misses     | 2024-03-01    | 500         | PAYROLL          | credit    | -           |
    | small      | 2023-12-10    | 499.99      | PAYROLL          | credit    | -           |
    | small      | 2024-01-10    | 499.99      | PAYROLL          | credit    | -           |
    | small      | 2024-02-10    | 499.99      | PAYROLL          | credit    | -           |
    | reversed   | 2023-12-10    | 900         | PAYROLL          | credit    | true        |
    | reversed   | 2024-01-10    | 900         | PAYROLL          | debit     | -           |
    | reversed   | 2024-02-10    | 900         | PENSION          | credit    | -           |
    | third_cent | 2023-12-10    | 100         | PAYROLL          | credit    | -           |
    | third_cent | 2024-01-10    | 100.01      | PAYROLL          | credit    | -           |
"""
MOVEMENTS = """
    | account_id | transacted_on | amount_base | transaction_type | direction | initiator | is_reversal |
    | buys       | 2023-10-04    | 1           | WEALTH_BUY       | debit     | B         | -           |
    | buys       | 2024-03-31    | 1           | FUND_BUY         | debit     | B         | -           |
    | buys_early | 2023-10-03    | 1           | WEALTH_BUY       | debit     | B         | -           |
    | buys_early | 2024-03-31    | 1           | FUND_BUY         | debit     | B         | -           |
    | buys_once  | 2024-03-01    | 1           | WEALTH_BUY       | debit     | B         | -           |
    | buys_once  | 2024-03-01    | 1           | FUND_BUY         | debit     | B         | -           |
    | buys_back  | 2024-02-01    | 1           | WEALTH_BUY       | debit     | B         | -           |
    | buys_back  | 2024-02-02    | 1           | WEALTH_BUY       | debit     | B         | true        |
    | buys_back  | 2024-02-03    | 1           | WEALTH_REDEEM    | credit    | B         | -           |
    | in30       | 2024-03-02    | 1000        | TRANSFER         | credit    | B         | -           |
    | in29       | 2024-03-02    | 999.99      | TRANSFER         | credit    | B         | -           |
    | in31       | 2024-03-01    | 1000        | TRANSFER         | credit    | B         | -           |
    | in31       | 2024-03-20    | 5000        | TRANSFER         | debit     | B         | -           |
    | swept      | 2024-03-20    | 5000        | SWEEP            | credit    | B         | -           |
    | swept      | 2024-03-20    | 5000        | TRANSFER         | credit    | B         | true        |
    | bill       | 2024-03-20    | 1           | HOUSEHOLD        | debit     | B         | -           |
    | draws      | 2024-03-20    | 1           | LOAN_DRAW        | credit    | B         | -           |
"""


def _active(name: str, *days_back: int) -> list[dict[str, str]]:
    return [{"account_id": name, "transacted_on": str(D - dt.timedelta(days=back))} for back in days_back]


def _active_transactions() -> list[dict[str, str]]:
    """Give the customers' own transactions; of FREQUENCY two on the first day, so that days and not rows are counted."""
    rows = [row for name, back in RECENCY.items() for row in _active(name, back)]
    for name, days in FREQUENCY.items():
        rows += _active(name, 180, 179, *(179 - at for at in range(days)))
    for name, (_, is_recent, is_frequent) in CELLS.items():
        days = 18 if is_frequent else 1
        rows += _active(name, *(30 - at if is_recent else 60 + at for at in range(days)))
    return rows


def _constant_balances() -> list[dict[str, str]]:
    amounts = {**CONSTANT, **{name: "50000.01" if cell[0] else "50000" for name, cell in CELLS.items()}}
    return [
        {"account_id": name, "balance_on": "2023-01-01", "balance": amount}
        for name, amount in amounts.items()
    ]


def _based(rows: list[dict]) -> list[dict]:
    return [{**row, "balance_base": row["balance"]} for row in rows]


def _balances() -> list[dict]:
    return _based([*rows_of(BALANCES), *_constant_balances()])


ROWS = [
    *owned_accounts(*SAVERS),
    *owned_accounts("leapday", opened_on="2024-02-29"),
    *owned_accounts("march", opened_on="2024-03-01"),
    ("trusted.relationships", [{"from_key": "ledgerless", "to_key": "ledgerless"}, {"from_key": "joint", "to_key": "rich", "role": "co_holder"}]),
    ("trusted.balances", _balances()),
    ("trusted.holdings", HOLDINGS),
    ("trusted.products", PRODUCTS),
    ("trusted.loans", LOANS),
    ("trusted.cards", CARDS),
    ("trusted.transactions", _active_transactions()),
    ("trusted.transactions", [{**row, "initiator": "B", "transaction_id": f"wage-{at}"} for at, row in enumerate(rows_of(WAGES))]),
    ("trusted.transactions", [{**row, "transaction_id": f"move-{at}"} for at, row in enumerate(rows_of(MOVEMENTS))]),
]  # fmt: skip
CASES = [
    *cases_of(
        """
    | tag                     | person   | kind     | answer       | why |
    | aum_eod                 | rich     | positive | 800.49       | eight classes of assets: 99.99+100+200.50+300+10+20+30+40; no custody, no loan |
    |                         | owed     | positive | -28          | an overdraft counts negative |
    |                         | late     | boundary | 10           | the copy that arrived later: 5; stated for tomorrow or arrived tomorrow: not; wealth 2 and time 3 |
    |                         | held     | boundary | 0            | what was held until yesterday is gone |
    |                         | joint    | negative | 0            | a co-holder's money is the owner's |
    |                         | nobody   | default  | 0            | no account |
    | demand_balance          | rich     | positive | 99.99        | its demand |
    |                         | owed     | positive | -28          | an overdraft |
    |                         | late     | boundary | 5            | of two copies of one day the later arrival, and none that arrived after the day |
    |                         | units    | negative | 0            | only a fund |
    |                         | nobody   | default  | 0            | no account |
    | time_deposit_balance    | rich     | positive | 100          | its time deposit |
    |                         | late     | boundary | 3            | stated for today; that of tomorrow waits |
    |                         | held     | boundary | 0            | 70 until yesterday |
    |                         | t0       | negative | 0            | only demand |
    |                         | nobody   | default  | 0            | no account |
    | wealth_balance          | rich     | positive | 200.50       | its wealth |
    |                         | late     | boundary | 2            | stated for today; that of tomorrow waits |
    |                         | t0       | negative | 0            | only demand |
    |                         | nobody   | default  | 0            | no account |
    | fund_balance            | rich     | positive | 300          | no units are delivered, so the balance of class fund |
    |                         | units    | boundary | 202.01       | 100.5 units of 2.00 and 1.005 of 1.00, which is 1.01; the balance of 150 is not asked |
    |                         | foreign  | positive | 700          | a position in dollars in the money of the workspace |
    |                         | late     | boundary | 44           | a unit value of tomorrow is not known today: the stated balance |
    |                         | sold     | negative | 0            | redeemed |
    |                         | held     | negative | 0            | 70 until yesterday |
    |                         | nobody   | default  | 0            | no account |
    | loan_balance            | rich     | positive | 500.25       | one running loan |
    |                         | bad      | positive | 750          | an active of 50, a defaulted of 700 in the workspace's money; the approved one is none yet |
    |                         | full     | boundary | 0.01         | a cent |
    |                         | repaid   | negative | 0            | paid off |
    |                         | nobody   | default  | 0            | no loan |
    | product_class_count     | full     | positive | 8            | all eight, demand of exactly 100 |
    |                         | rich     | boundary | 7            | demand of 99.99 does not count, the other seven do |
    |                         | held     | negative | 0            | all balances are 0 |
    |                         | bound_only | negative | 0          | a bound card is not active |
    |                         | nobody   | default  | 0            | nothing |
    | product_classes_held    | rich     | positive | {bond, custody, demand, fund, insurance, loan, metal, time, trust, wealth} | ten classes above 0 |
    |                         | full     | boundary | {demand, fund, insurance, metal, time, wealth} | a cent is above 0 |
    |                         | held     | boundary | {}           | 0 is not above 0 |
    |                         | owed     | negative | {}           | an overdraft is not above 0 |
    |                         | nobody   | default  | {}           | nothing |
    | has_active_card         | holder   | positive | true         | the card is the holder's, not the account owner's |
    |                         | by_account | boundary | true       | no holder is named, so it is the account owner's |
    |                         | t0       | boundary | false        | the card on the account has another holder |
    |                         | bound_only | negative | false      | bound is not active |
    |                         | nobody   | default  | false        | no card |
    | days_to_next_maturity   | matures  | positive | 9            | the nearer of two; the redeemed one and the insurance do not count |
    |                         | rich     | boundary | 0            | it matures today |
    |                         | longest  | boundary | 3650         | ten years with two leap days less |
    |                         | matured  | boundary | null not_applicable | it matured yesterday |
    |                         | units    | negative | null not_applicable | funds do not mature |
    |                         | nobody   | null     | null not_applicable | no holding |
    | aum_avg_last_month      | t0       | positive | 9999.99      | the same on every day |
    |                         | leapday  | boundary | 1000         | 29,000 on the last of 29 days; opened on the last day of LM, so it applies |
    |                         | edge     | boundary | 1            | 29.00 on the first of 29 days |
    |                         | march    | boundary | null not_applicable | opened a day after LM |
    |                         | owing    | positive | -29          | overdrawn on every day of LM |
    |                         | rich     | negative | 0            | balances since March only |
    |                         | march    | null     | null not_applicable | opened after LM |
    |                         | nobody   | default  | 0            | no balance |
    | aum_avg_month_to_date   | t0       | positive | 9999.99      | the same on every day |
    |                         | march    | boundary | 1000         | 31,000 on the last of 31 days |
    |                         | edge     | boundary | 1            | 6.20 on the first five of 31 days |
    |                         | leapday  | boundary | 29000        | the balance of February holds on |
    |                         | nov      | negative | 0            | gone since December |
    |                         | nobody   | default  | 0            | no balance |
    | aum_avg_lm_3            | half     | positive | 2000         | all of November |
    |                         | nov      | boundary | 0.01         | 0.15 on the last of 30 days is 0.005, rounded away from 0 |
    |                         | sep      | negative | 0            | only in September |
    |                         | nobody   | default  | 0            | no balance |
    | aum_max_monthly_avg_6m  | half     | positive | 2000         | November; 1,000 since |
    |                         | sep      | boundary | 6.67         | 200 on the last of the 30 days of LM-5 |
    |                         | aug      | boundary | 0            | LM-6 is too early |
    |                         | owed     | positive | -28          | overdrawn in all six months |
    |                         | owing    | boundary | 0            | overdrawn in LM only; the five months before had 0 |
    |                         | rich     | negative | 0            | balances since March only |
    |                         | nobody   | default  | 0            | no balance |
    | aum_tier                | t0       | boundary | T0           | a cent below 10,000 |
    |                         | t1       | boundary | T1           | 10,000 |
    |                         | t1end    | boundary | T1           | a cent below 50,000 |
    |                         | t2       | boundary | T2           | 50,000 |
    |                         | t2end    | boundary | T2           | a cent below 500,000 |
    |                         | t3       | boundary | T3           | 500,000 |
    |                         | t3end    | boundary | T3           | a cent below 6,000,000 |
    |                         | t4       | positive | T4           | 6,000,000 |
    |                         | march    | boundary | T0           | the month-to-date average of 1,000 decides |
    |                         | leapday  | negative | T0           | the average of LM decides, not the 29,000 of March |
    |                         | joint    | null     | null not_applicable | no account of their own |
    | aum_gap_to_next_tier    | t0       | boundary | 0.01         | to 10,000 |
    |                         | t1       | positive | 40000        | to 50,000 |
    |                         | t1end    | boundary | 0.01         | to 50,000 |
    |                         | t2end    | boundary | 0.01         | to 500,000 |
    |                         | t3end    | boundary | 0.01         | to 6,000,000 |
    |                         | owed     | positive | 10028        | an overdraft is further away |
    |                         | march    | positive | 9000         | from the month-to-date average |
    |                         | t4       | negative | null not_applicable | no tier above |
    |                         | nobody   | null     | null not_applicable | no account |
    | aum_change_3m_ratio     | half     | positive | -0.5         | 2,000 to 1,000 |
    |                         | third    | boundary | -0.666667    | 3,000 to 1,000, six digits, rounded |
    |                         | negative | positive | -2           | ends overdrawn |
    |                         | m2       | boundary | 0            | a base of exactly 1,000 |
    |                         | m1       | boundary | null not_applicable | a base of 999.99 |
    |                         | leapday  | negative | null not_applicable | nothing in November |
    |                         | nobody   | null     | null not_applicable | no base |
    | is_payroll              | pays     | boundary | true         | 500 on the first day of December and the last of February |
    |                         | pays     | positive | true         | two of three months |
    |                         | misses   | boundary | false        | 30 November and 1 March are outside, one month is left |
    |                         | small    | boundary | false        | 499.99 in all three months |
    |                         | reversed | negative | false        | a reversal, an outgoing one and a pension |
    |                         | nobody   | default  | false        | no account |
    | payroll_avg_amount      | pays     | positive | 550          | 1,100 over two months |
    |                         | small    | positive | 499.99       | below the 500 of is_payroll, which is not asked |
    |                         | misses   | boundary | 500          | January only |
    |                         | third_cent | boundary | 100.01     | 100.005 is rounded away from 0 |
    |                         | reversed | negative | null not_applicable | a reversal, an outgoing one and a pension |
    |                         | nobody   | null     | null not_applicable | no account |
    | rfm_recency             | r7       | boundary | 5            | 7 days |
    |                         | r8       | boundary | 4            | 8 days |
    |                         | r30      | boundary | 4            | 30 days |
    |                         | r31      | boundary | 3            | 31 days |
    |                         | r90      | boundary | 3            | 90 days |
    |                         | r91      | boundary | 2            | 91 days |
    |                         | r180     | boundary | 2            | 180 days |
    |                         | r181     | positive | 1            | 181 days |
    |                         | bill     | negative | null not_applicable | the bank started it |
    |                         | nobody   | null     | null not_applicable | never |
    | active_txn_days_180d    | f36      | positive | 36           | two of one day are one day |
    |                         | f2       | boundary | 2            | the first day of the window counts, the day before does not |
    |                         | r180     | boundary | 0            | 180 days ago is outside |
    |                         | bill     | negative | 0            | the bank started it |
    |                         | nobody   | default  | 0            | no account |
    | rfm_frequency           | f2       | boundary | 1            | 2 days: not above the first cut point |
    |                         | f3       | boundary | 2            | 3 days |
    |                         | f7       | boundary | 2            | 7 days |
    |                         | f8       | boundary | 3            | 8 days |
    |                         | f17      | boundary | 3            | 17 days |
    |                         | f18      | boundary | 4            | 18 days |
    |                         | f35      | boundary | 4            | 35 days |
    |                         | f36      | positive | 5            | 36 days |
    |                         | t0       | negative | 1            | an account without any |
    |                         | nobody   | null     | null not_applicable | no account |
    | rfm_monetary            | m2       | boundary | 1            | 1,000: not above the first cut point |
    |                         | t0       | boundary | 2            | 9,999.99 |
    |                         | t1       | boundary | 2            | 10,000 |
    |                         | t1end    | boundary | 3            | 49,999.99 |
    |                         | t2       | boundary | 3            | 50,000 |
    |                         | cell100  | boundary | 4            | 50,000.01 |
    |                         | t3       | boundary | 4            | 500,000 |
    |                         | t3end    | positive | 5            | 5,999,999.99 |
    |                         | owed     | negative | 1            | overdrawn |
    |                         | march    | null     | null not_applicable | opened after LM: the average does not apply |
    | rfm_group               | cell111  | positive | IMPORTANT_VALUE   | M 4, R 4, F 4 |
    |                         | cell110  | boundary | IMPORTANT_DEV     | low F |
    |                         | cell101  | boundary | IMPORTANT_KEEP    | low R |
    |                         | cell100  | boundary | IMPORTANT_WINBACK | low R and F |
    |                         | cell011  | boundary | GEN_VALUE         | low M: 50,000 is not above the third cut point |
    |                         | cell010  | boundary | GEN_DEV           | low M and F |
    |                         | cell001  | boundary | GEN_KEEP          | low M and R |
    |                         | cell000  | negative | GEN_WINBACK       | all low |
    |                         | t0       | null     | null not_applicable | never active: no R |
    | has_repeat_purchase_180d | buys    | boundary | true         | on the first and the last day of 180 |
    |                         | buys     | positive | true         | wealth and fund |
    |                         | buys_early | boundary | false      | one day before the window |
    |                         | buys_once | boundary | false       | twice on one day |
    |                         | buys_back | negative | false       | a reversal and a redemption |
    |                         | nobody   | default  | false        | no account |
    | has_key_transaction_30d | in30     | boundary | true         | 1,000 on the first day of 30 |
    |                         | in29     | boundary | false        | 999.99 |
    |                         | in31     | boundary | false        | 31 days ago; an outflow does not count |
    |                         | bill     | positive | true         | a bill, of any amount |
    |                         | draws    | positive | true         | a loan draw |
    |                         | swept    | negative | false        | a sweep and a reversal |
    |                         | nobody   | default  | false        | no account |
    | has_repayment_contract  | repays   | positive | true         | instalments of another's running loan are drawn from it |
    |                         | repays_paid | negative | false     | of one paid off and of one only approved |
    |                         | ledgerless | boundary | true       | an account of which only the owner is delivered |
    |                         | nobody   | default  | false        | no account |
"""
    ),
    *cases_of(
        """
    | tag                   | person  | kind     | answer              | why |
    | days_to_next_maturity | longest | boundary | null not_applicable | further away than ten years: a date that a source puts for none |
""",
        on=dt.date(2023, 2, 28),
    ),
]
