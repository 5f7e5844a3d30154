"""Golden cases of what must be respected: assessments, mismatches, credit, controls."""

from __future__ import annotations

from tests.tags.golden.cases import cases_of, owned_accounts

PEOPLE = (
    "a_valid", "a_30", "a_31", "a_today", "a_past", "a_stated", "a_two", "a_day", "a_later", "a_none", "x_more", "x_same", "x_redeemed",
    "x_empty", "x_expired", "x_none", "u_two", "u_none", "u_zero", "u_debit", "u_over", "u_closed", "p0", "p1", "p30", "p31", "p60", "p61", "p90",
    "p91", "p_card", "p_paid", "p_applied", "g_worst", "g_card", "g_ended", "g_unknown", "aml", "aml_held", "aml_gone", "aml_tie", "aml_fraud", "aml_tomorrow",
    "aml_none", "ctl", "ctl_account", "ctl_joint", "ctl_agent", "ctl_ended", "ctl_ending", "ctl_later", "ctl_complaint", "ctl_none", "ctl_known", "ctl_once",
    "leap_year",
)  # fmt: skip
PROFILES: list[tuple[str, str, str]] = []
ASSESSED = """
    | source_key | assessed_on | grade | valid_until |
    | a_valid    | 2023-05-01  | C3    | -           |
    | a_31       | 2023-05-01  | C2    | 2024-05-01  |
    | a_30       | 2023-04-30  | C5    | -           |
    | a_today    | 2023-03-31  | C1    | -           |
    | a_past     | 2023-03-30  | C4    | -           |
    | a_stated   | 2023-03-30  | C4    | 2024-04-30  |
    | a_two      | 2024-01-01  | C1    | -           |
    | a_two      | 2024-01-02  | C5    | 2024-03-30  |
    | a_day      | 2024-01-01  | C4    | 2030-01-01  |
    | a_day      | 2024-01-01  | C2    | -           |
    | a_later    | 2024-04-01  | C2    | -           |
    | x_more     | 2024-01-01  | C2    | -           |
    | x_same     | 2024-01-01  | C3    | -           |
    | x_redeemed | 2024-01-01  | C1    | -           |
    | x_empty    | 2024-01-01  | C1    | -           |
    | x_expired  | 2020-01-01  | C1    | -           |
    | leap_year  | 2024-02-29  | C1    | -           |
"""
HOLDINGS = """
    | account_id | product_class | balance | risk_level | status   |
    | x_more     | wealth        | 0.01    | R3         | active   |
    | x_more     | fund          | 10      | R1         | active   |
    | x_same     | wealth        | 10      | R3         | active   |
    | x_redeemed | wealth        | 10      | R5         | redeemed |
    | x_empty    | wealth        | 0       | R5         | active   |
    | x_empty    | bond          | 10      | -          | active   |
    | x_expired  | wealth        | 10      | R5         | active   |
"""
CARDS = """
    | source_key | card_type | status    | credit_limit | used_amount | days_past_due | card_class |
    | u_two      | credit    | ACTIVE    | 1000         | 250         | 0             | N          |
    | u_two      | credit    | SLEEPING  | 2000         | -           | -             | -          |
    | u_two      | credit    | CANCELLED | 5000         | 5000        | 99            | L          |
    | u_zero     | credit    | BOUND     | 0            | 10          | -             | -          |
    | u_debit    | debit     | ACTIVE    | 1000         | 10          | 99            | L          |
    | u_over     | credit    | ACTIVATED | 1000         | 1000.01     | 0             | S          |
    | u_closed   | credit    | APPROVED  | 1000         | 10          | 99            | L          |
    | p_card     | credit    | ACTIVE    | 3000         | 1000        | 5             | SS         |
    | g_card     | credit    | ACTIVE    | 3000         | 1000        | 0             | D          |
"""
LOANS = """
    | account_id | outstanding | days_past_due | loan_class | status    |
    | p0         | 1           | 0             | N          | active    |
    | p1         | 1           | 1             | -          | active    |
    | p30        | 1           | 30            | -          | active    |
    | p31        | 1           | 31            | -          | active    |
    | p60        | 1           | 60            | -          | active    |
    | p61        | 1           | 61            | -          | active    |
    | p90        | 1           | 90            | -          | active    |
    | p91        | 1           | 91            | -          | defaulted |
    | p_card     | 1           | 3             | S          | active    |
    | p_paid     | 0           | 99            | L          | paid_off  |
    | p_applied  | 9           | 99            | L          | applied   |
    | g_worst    | 1           | 0             | S          | active    |
    | g_worst    | 1           | 0             | L          | defaulted |
    | g_worst    | 1           | 0             | D          | active    |
    | g_card     | 1           | 0             | SS         | active    |
    | g_unknown  | 1           | -             | -          | active    |
"""
CONTROLS = """
    | source_key    | account_id | control_type | grade | started_on | ended_on   | valid_from | valid_to   |
    | aml           | -          | AML_GRADE    | H     | 2023-01-01 | -          | 2023-01-01 | 2024-01-01 |
    | aml           | -          | AML_GRADE    | L     | 2023-01-01 | -          | 2024-01-01 | -          |
    | aml_held      | -          | AML_GRADE    | MH    | 2023-01-01 | -          | 2023-01-01 | 2023-10-04 |
    | aml_gone      | -          | AML_GRADE    | MH    | 2023-01-01 | -          | 2023-01-01 | 2023-10-03 |
    | aml_tie       | -          | AML_GRADE    | ML    | 2023-06-01 | -          | 2023-01-01 | -          |
    | aml_tie       | -          | AML_GRADE    | M     | 2023-01-01 | -          | 2023-01-01 | -          |
    | aml_fraud     | -          | FRAUD        | -     | 2023-01-01 | -          | 2023-01-01 | -          |
    | aml_tomorrow  | -          | AML_GRADE    | H     | 2024-04-01 | -          | 2024-01-01 | -          |
    | ctl           | -          | STOP_PAYMENT | -     | 2024-03-31 | -          | 2024-03-31 | -          |
    | -             | ctl_account| JUDICIAL     | -     | 2023-01-01 | -          | 2023-01-01 | -          |
    | ctl_ended     | -          | FRAUD        | -     | 2023-01-01 | 2024-03-31 | 2023-01-01 | -          |
    | ctl_ending    | -          | FRAUD        | -     | 2023-01-01 | 2024-04-01 | 2023-01-01 | -          |
    | ctl_later     | -          | FRAUD        | -     | 2024-04-01 | -          | 2023-01-01 | -          |
    | ctl_known     | -          | FRAUD        | -     | 2023-01-01 | -          | 2023-01-01 | 2024-03-31 |
    | ctl_complaint | -          | COMPLAINT    | -     | 2023-01-01 | -          | 2023-01-01 | -          |
"""
ROWS = [
    *owned_accounts(
        "x_more", "x_same", "x_redeemed", "x_empty", "x_expired", "p0", "p1", "p30", "p31", "p60", "p61", "p90", "p91", "p_card", "p_paid",
        "p_applied", "g_worst", "g_card", "g_unknown", "ctl_account",
    ),
    ("trusted.relationships", [
        {"from_key": "ctl_joint", "to_key": "ctl_account", "role": "co_holder"},
        {"from_key": "ctl_agent", "to_key": "ctl_account", "role": "agent"},
        {"from_key": "ctl_once", "to_key": "ctl_account", "role": "co_holder", "started_on": "2020-01-01", "ended_on": "2024-03-31"},
    ]),
    ("trusted.assessments", ASSESSED),
    ("trusted.holdings", HOLDINGS),
    ("trusted.cards", CARDS),
    ("trusted.loans", LOANS),
    ("trusted.account_controls", CONTROLS),
]  # fmt: skip
CASES = cases_of(
    """
    | tag                   | person   | kind     | answer     | why |
    | risk_capacity         | a_valid  | positive | C3         | the only one |
    |                       | a_past   | positive | C4         | expired or not |
    |                       | a_two    | boundary | C5         | a day later |
    |                       | a_day    | boundary | C2         | of two on one day the lower grade |
    |                       | a_later  | negative | null unknown | taken tomorrow |
    |                       | a_none   | null     | null unknown | never |
    | risk_assessed_until   | a_valid  | positive | 2024-05-01 | one year, for none is stated |
    |                       | a_stated | positive | 2024-04-30 | as stated |
    |                       | leap_year | boundary | 2025-02-28 | a year after a leap day |
    |                       | a_two    | boundary | 2024-03-30 | the later assessment, though it ends earlier |
    |                       | a_day    | boundary | 2025-01-01 | of two on one day the one with the lower grade |
    |                       | a_later  | negative | null not_applicable | taken tomorrow |
    |                       | a_none   | null     | null not_applicable | never |
    | risk_assessment_state | a_valid  | boundary | VALID      | 31 days left |
    |                       | a_31     | positive | VALID      | 31 days left as stated |
    |                       | a_30     | boundary | EXP30      | 30 days left |
    |                       | a_today  | boundary | EXP30      | today is the last day |
    |                       | a_past   | boundary | EXPIRED    | yesterday was the last day |
    |                       | a_two    | negative | EXPIRED    | an older one that would still hold does not count |
    |                       | a_none   | default  | NONE       | never |
    | max_sellable_risk     | a_valid  | positive | R3         | C3 and valid |
    |                       | a_30     | positive | R5         | C5 and 30 days left |
    |                       | a_today  | boundary | R1         | on the last day |
    |                       | a_past   | boundary | null not_applicable | a day later |
    |                       | a_two    | negative | null not_applicable | the latest is expired |
    |                       | a_none   | null     | null not_applicable | never |
    | max_held_risk         | x_more   | positive | R3         | the higher of two |
    |                       | x_more   | boundary | R3         | a cent is above 0 |
    |                       | x_redeemed | negative | null not_applicable | redeemed |
    |                       | x_empty  | boundary | null not_applicable | a balance of 0, and one without a risk |
    |                       | x_none   | null     | null not_applicable | no holding |
    | has_suitability_mismatch | x_more | positive | true      | R3 held, R2 may be sold |
    |                       | x_same   | boundary | false      | R3 held, R3 may be sold |
    |                       | x_redeemed | negative | false    | redeemed |
    |                       | x_empty  | negative | false      | a balance of 0 |
    |                       | a_valid  | negative | false      | nothing held |
    |                       | x_expired | null    | null not_applicable | nothing may be sold |
    | card_utilisation_ratio | u_two   | positive | 0.083333   | 250 of 3,000; a cancelled card does not count |
    |                       | u_over   | boundary | 1.00001    | a cent over the limit |
    |                       | u_zero   | boundary | null not_applicable | a limit of 0 |
    |                       | u_debit  | negative | null not_applicable | a debit card |
    |                       | u_closed | negative | null not_applicable | approved only |
    |                       | u_none   | null     | null not_applicable | no card |
    | days_past_due         | p_card   | positive | 5          | the card is later than the loan |
    |                       | p0       | boundary | 0          | not late |
    |                       | p_paid   | negative | null not_applicable | paid off: no credit |
    |                       | p_applied | negative | null not_applicable | applied for: no credit yet |
    |                       | u_two    | boundary | 0          | one of two cards says it |
    |                       | u_zero   | null     | null unknown | a card that does not say how late it is |
    |                       | u_none   | null     | null not_applicable | no credit |
    | is_credit_delay_known | p_card   | positive | true       | loan and card say it |
    |                       | u_two    | boundary | true       | one of two cards says it |
    |                       | u_zero   | negative | false      | the only card does not |
    |                       | p_paid   | negative | null not_applicable | paid off: no credit |
    |                       | u_none   | null     | null not_applicable | no credit |
    | overdue_bucket        | u_zero   | null     | null unknown | the days are not stated |
    |                       | p_card   | positive | M1         | 5 days |
    |                       | p0       | boundary | M0         | 0 days |
    |                       | p1       | boundary | M1         | 1 day |
    |                       | p30      | boundary | M1         | 30 days |
    |                       | p31      | boundary | M2         | 31 days |
    |                       | p60      | boundary | M2         | 60 days |
    |                       | p61      | boundary | M3         | 61 days |
    |                       | p90      | boundary | M3         | 90 days |
    |                       | p91      | boundary | M4P        | 91 days |
    |                       | p_paid   | negative | null not_applicable | paid off: no credit |
    |                       | u_none   | null     | null not_applicable | no credit |
    | loan_class_worst      | g_worst  | positive | L          | the worst of three |
    |                       | p0       | boundary | N          | the best of all is still the worst of one |
    |                       | g_card   | boundary | D          | the card's D is worse than the loan's SS |
    |                       | p_paid   | negative | null not_applicable | paid off: no credit |
    |                       | u_none   | null     | null not_applicable | no credit |
    | aml_grade             | aml      | positive | L          | today's, though an earlier one was higher |
    |                       | aml_held | boundary | MH         | last known on 3 October, 180 days ago |
    |                       | aml_gone | boundary | null expired | last known a day earlier |
    |                       | aml_tie  | boundary | M          | of two that hold the higher grade |
    |                       | aml_tomorrow | boundary | null unknown | holds from tomorrow |
    |                       | aml_fraud | negative | null unknown | another control |
    |                       | aml_none | null     | null unknown | none |
    | is_account_controlled | ctl      | positive | true       | a stop of payment from today |
    |                       | ctl_account | positive | true    | on the account they own |
    |                       | ctl_joint | positive | true      | on the account they hold jointly |
    |                       | ctl_once | boundary | true       | held it jointly until today: an end does not lift a control |
    |                       | ctl_agent | negative | false     | an agent holds no account |
    |                       | ctl_complaint | negative | false | a complaint is no control |
    |                       | aml      | negative | false      | a grade is no control |
    |                       | ctl_ended | boundary | false     | ended today |
    |                       | ctl_ending | boundary | true     | ends tomorrow |
    |                       | ctl_later | boundary | false     | from tomorrow |
    |                       | ctl_known | boundary | false     | no longer stated since today |
    |                       | ctl_none | default  | false      | none |
"""
)
