"""Golden cases of products and branches: who holds, what flows in and out on the days of the window's edge, who is active where.

A case of these names source and key of the product or branch where others name a person.
"""

from __future__ import annotations

from tests.tags.golden.cases import cases_of

PEOPLE = (
    "e_holder",
    "holder_too",
    "beside",
    "e_gone",
    "loyal",
    "e_idle",
    "e_moved",
    "e_lapsed",
    "homeless",
    "e_told",
    "e_unsure",
)
PROFILES = [
    ("loyal", "crm", "loyal"),
    ("e_moved", "crm", "e_moved"),
    ("e_told", "crm", "e_told"),
    ("e_unsure", "crm", "e_unsure"),
]
ROWS = [
    (
        "trusted.products",
        """
        | source | product_id | product_class | valid_to   |
        | bank   | pr_held    | wealth        | -          |
        | bank   | pr_account | demand        | -          |
        | bank   | pr_redeemed | wealth       | -          |
        | bank   | pr_closed  | demand        | -          |
        | bank   | pr_stranger | wealth       | -          |
        | bank   | pr_flow    | fund          | -          |
        | bank   | pr_edge    | fund          | -          |
        | bank   | pr_reversed | wealth       | -          |
        | bank   | pr_out     | wealth        | -          |
        | bank   | pr_other   | wealth        | -          |
        | bank   | pr_last    | wealth        | 2024-04-01 |
        | crm    | pr_twin    | wealth        | -          |
        """,
    ),
    (
        "trusted.accounts",
        """
        | account_id | product_id | status |
        | eh1        | pr_account | open   |
        | eh2        | pr_account | frozen |
        | eb1        | -          | open   |
        | eg1        | pr_closed  | closed |
        | eu1        | pr_stranger | open  |
        | en1        | pr_last    | open   |
        """,
    ),
    (
        "trusted.relationships",
        """
        | from_key   | to_key | role      |
        | e_holder   | eh1    | owner     |
        | holder_too | eh2    | owner     |
        | beside     | eh1    | co_holder |
        | beside     | eb1    | owner     |
        | e_gone     | eg1    | owner     |
        | stranger_x | eu1    | owner     |
        | e_holder   | en1    | owner     |
        """,
    ),
    (
        "trusted.holdings",
        """
        | account_id | product_id  | product_class | status   | valid_to   |
        | eh1        | pr_held     | wealth        | active   | -          |
        | eh1        | pr_held     | wealth        | active   | -          |
        | eh2        | pr_held     | wealth        | active   | 2024-04-01 |
        | eb1        | pr_held     | wealth        | active   | 2024-03-31 |
        | eh1        | pr_account  | time          | active   | -          |
        | eb1        | pr_redeemed | wealth        | redeemed | -          |
        | eu1        | pr_stranger | wealth        | active   | -          |
        | eb1        | pr_twin     | wealth        | active   | -          |
        """,
    ),
    (
        "trusted.transactions",
        """
        | account_id | product_id  | transaction_type | direction | amount_base | transacted_on | is_reversal |
        | eh1        | pr_flow     | FUND_BUY         | debit     | 100.10      | 2024-03-31    | -           |
        | eu1        | pr_flow     | WEALTH_BUY       | debit     | 50          | 2024-03-10    | false       |
        | eh1        | pr_flow     | FUND_REDEEM      | credit    | 30          | 2024-03-20    | -           |
        | eh1        | pr_edge     | FUND_BUY         | debit     | 7           | 2024-03-02    | -           |
        | eh1        | pr_edge     | FUND_BUY         | debit     | 1000        | 2024-03-01    | -           |
        | eh1        | pr_reversed | WEALTH_BUY       | debit     | 500         | 2024-02-28    | -           |
        | eh1        | pr_reversed | WEALTH_BUY       | credit    | 500         | 2024-03-02    | true        |
        | eh1        | pr_out      | WEALTH_REDEEM    | credit    | 80          | 2024-03-05    | -           |
        | eh1        | pr_out      | WEALTH_REDEEM    | debit     | 20          | 2024-03-06    | true        |
        | eh1        | pr_other    | PURCHASE         | debit     | 999         | 2024-03-05    | -           |
        | eh1        | -           | FUND_BUY         | debit     | 999         | 2024-03-05    | -           |
        """,
    ),
    (
        "trusted.branches",
        """
        | source | branch_id | valid_to   |
        | bank   | eb_north  | -          |
        | bank   | eb_south  | -          |
        | bank   | eb_empty  | -          |
        | crm    | eb_crm    | -          |
        | bank   | eb_told   | -          |
        | bank   | eb_twice  | -          |
        | shop   | eb_twice  | -          |
        | bank   | eb_gone   | 2024-03-31 |
        """,
    ),
    (
        "trusted.customers",
        """
        | source | source_key | branch_id | registered_on |
        | bank   | loyal      | eb_north  | 2020-01-01    |
        | crm    | loyal      | eb_crm    | 2020-01-02    |
        | bank   | e_idle     | eb_north  | 2020-01-01    |
        | bank   | e_moved    | eb_south  | 2020-01-02    |
        | crm    | e_moved    | eb_crm    | 2020-01-01    |
        | bank   | e_lapsed   | eb_south  | 2020-01-01    |
        | bank   | homeless   | -         | 2020-01-01    |
        | crm    | e_told     | eb_told   | 2020-01-01    |
        | bank   | e_told     | -         | 2020-01-02    |
        | crm    | e_unsure   | eb_twice  | 2020-01-01    |
        | bank   | e_unsure   | -         | 2020-01-02    |
        """,
    ),
    (
        "trusted.identifier_observations",
        """
        | source_key | namespace       | value    |
        | loyal      | app_user_id@app | eloyal   |
        | e_idle     | app_user_id@app | eidle    |
        | e_moved    | app_user_id@app | emoved   |
        | e_lapsed   | app_user_id@app | elapsed  |
        | homeless   | app_user_id@app | ehome    |
        | e_told     | app_user_id@app | etold    |
        | e_unsure   | app_user_id@app | eunsure  |
        """,
    ),
    (
        "trusted.events",
        """
        | source_key | event_name   | occurred_at      | occurred_on | is_success |
        | loyal      | login        | 2024-03-01T10:00 | 2024-03-01  | true       |
        | e_idle     | login        | 2024-02-29T10:00 | 2024-02-29  | true       |
        | e_moved    | login        | 2024-03-31T10:00 | 2024-03-31  | true       |
        | e_lapsed   | login        | 2024-03-15T10:00 | 2024-03-15  | false      |
        | homeless   | login        | 2024-03-15T10:00 | 2024-03-15  | true       |
        | e_told     | login        | 2024-03-15T10:00 | 2024-03-15  | true       |
        | e_unsure   | login        | 2024-03-15T10:00 | 2024-03-15  | true       |
        """,
    ),
]
CASES = cases_of("""
    | tag                          | person      | kind     | answer | why |
    | product_holder_count         | bank/pr_account  | positive | 2      | the owners of an open and of a frozen account; one of them holds it as well |
    |                              | bank/pr_held     | boundary | 2      | one with two positions, one whose position is known to the last day; the third was closed on the day |
    |                              | bank/pr_redeemed | negative | 0      | redeemed |
    |                              | bank/pr_closed   | negative | 0      | the account is closed |
    |                              | bank/pr_stranger | negative | 0      | the owner is nobody known |
    |                              | crm/pr_twin      | negative | 0      | a product of this name is held, of another source |
    |                              | bank/pr_last     | boundary | 1      | the product is known to the last day |
    |                              | bank/pr_other    | default  | 0      | nobody holds it |
    | product_net_flow_30d         | bank/pr_flow     | positive | 120.10 | two purchases, one of an unknown owner, less a redemption |
    |                              | bank/pr_edge     | boundary | 7.00   | bought 29 days before; 30 days before is outside |
    |                              | bank/pr_reversed | boundary | -500.00 | the reversal falls into the window and what it takes back does not |
    |                              | bank/pr_out      | positive | -60.00 | a redemption, part of which is taken back |
    |                              | bank/pr_other    | negative | 0.00   | spent with the card, and no purchase of the product |
    |                              | bank/pr_held     | default  | 0.00   | nothing moved |
    | branch_active_customer_count | bank/eb_north    | boundary | 1      | a login on the first day of the month; the one of the day before is of another month |
    |                              | crm/eb_crm      | positive | 1      | the profile registered first says this branch |
    |                              | bank/eb_south    | negative | 0      | one belongs to the branch of an earlier profile, the other failed to log in |
    |                              | bank/eb_empty    | default  | 0      | nobody belongs to it |
    |                              | bank/eb_told     | positive | 1      | the CRM says it and has no branch of this code; the bank alone has |
    |                              | bank/eb_twice    | boundary | 0      | the CRM says it, and two other sources have a branch of this code |
""")
