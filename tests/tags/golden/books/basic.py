"""Golden cases of what a person is: sex, age, place, documents, accounts, what their profiles declare."""

from __future__ import annotations

import datetime as dt

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import cases_of, owned_accounts

AGES = {
    "leap": "2004-02-29", "b17": "2006-04-01", "b18": "2006-03-31", "b24": "1999-04-01", "b25": "1999-03-31",
    "b34": "1989-04-01", "b35": "1989-03-31", "b44": "1979-04-01", "b45": "1979-03-31", "b59": "1964-04-01",
    "b60": "1964-03-31", "b120": "1903-04-01", "b121": "1903-03-31", "newborn": "2024-03-31", "unborn": "2024-04-01",
    "eighteen": "2005-03-01", "monthend": "2005-03-31",
}  # fmt: skip
# `two` is known by the bank and, a day later, by the app; `tie` by both on one day; `undated` by the bank on an unknown day.
PEOPLE = (*AGES, "plain", "two", "tie", "undated", "ended", "ending", "unmarked", "unopened")
PROFILES = [("two", "app", "two"), ("tie", "app", "tie"), ("undated", "app", "undated")]

DECLARED = """
    | source | source_key | registered_on | branch_id | acquisition_channel | acquisition_campaign_id | residence_city | occupation | education | income_band | marital_state | family_role | document_expires_on | valid_to   |
    | bank   | two        | 2020-01-01    | b1        | branch              | c1                      | 110000         | O11        | BACHELOR  | I1          | SINGLE        | CHILD       | 2024-03-30          | -          |
    | app    | two        | 2020-01-02    | b2        | app                 | c2                      | 330100         | O2         | MASTER    | I2          | MARRIED       | SPOUSE      | 2024-06-30          | -          |
    | bank   | tie        | 2020-01-01    | b3        | branch              | c3                      | 110000         | O11        | BACHELOR  | I1          | SINGLE        | CHILD       | -                   | -          |
    | app    | tie        | 2020-01-01    | b4        | app                 | c4                      | 330100         | O2         | MASTER    | I2          | MARRIED       | SPOUSE      | -                   | -          |
    | bank   | undated    | -             | b5        | branch              | c5                      | 110000         | O11        | BACHELOR  | I1          | SINGLE        | CHILD       | -                   | -          |
    | app    | undated    | 2020-01-01    | b6        | app                 | c6                      | 330100         | O2         | MASTER    | I2          | MARRIED       | SPOUSE      | -                   | -          |
    | bank   | ended      | 2020-01-01    | b7        | branch              | c7                      | 110000         | O11        | BACHELOR  | I1          | SINGLE        | CHILD       | 2030-01-01          | 2024-03-31 |
    | bank   | ending     | 2020-01-01    | b8        | branch              | c8                      | 110000         | O11        | BACHELOR  | I1          | SINGLE        | CHILD       | 2024-03-31          | 2024-04-01 |
    | bank   | b17        | 2020-01-01    | -         | -                   | -                       | 990000         | O9         | -         | -           | -             | -           | 2024-03-30          | -          |
    | bank   | b18        | 2020-01-01    | -         | -                   | -                       | 880000         | O1         | -         | -           | -             | -           | 2024-06-29          | -          |
    | bank   | plain      | 2020-01-01    | -         | -                   | -                       | -              | -          | -         | -           | -             | -           | -                   | -          |
"""
MARKS = """
    | source_key | is_staff | has_medical_insurance | has_transaction_alerts | deceased_on | valid_to   |
    | b24        | true     | true                  | true                   | 2024-03-31  | -          |
    | b25        | false    | false                 | false                  | 2024-04-01  | -          |
    | unmarked   | true     | true                  | true                   | 2024-01-01  | 2024-03-31 |
    | b35        | true     | true                  | true                   | 2024-01-01  | 2024-04-01 |
    | b44        | -        | -                     | -                      | -           | -          |
"""
DRAWN = {
    "identity.golden_records": """
        | one_id | gender |
        | b18    | F      |
        | b34    | M      |
    """,
    "trusted.identifier_observations": """
        | source | source_key | namespace   | value              |
        | bank   | b17        | national_id | 110101200604011237 |
        | bank   | b18        | national_id | 110101200603311231 |
        | bank   | b24        | national_id | 110101990401123    |
        | bank   | b25        | passport    | 110101199903311231 |
        | bank   | two        | national_id | 110101198001011237 |
        | app    | two        | national_id | 110101198001011245 |
        | bank   | tie        | national_id | 110101198001011237 |
        | app    | tie        | national_id | 110101198001011245 |
    """,
    "trusted.reference_values": """
        | code_set   | code   | parent_code |
        | city       | 110000 | T1          |
        | city       | 330100 | NT1         |
        | city       | 880000 | -           |
        | occupation | O1     | -           |
        | occupation | O2     | -           |
        | occupation | O11    | O1          |
        | mcc        | 990000 | T2          |
    """,
}
MANAGERS = """
    | relationship_type | from_key | to_key | role        | started_on | ended_on   |
    | person_manager    | b17      | rm1    | manager     | 2024-03-31 | -          |
    | person_manager    | b18      | rm1    | manager     | 2024-04-01 | -          |
    | person_manager    | b24      | rm1    | manager     | -          | 2024-03-31 |
    | person_manager    | b25      | rm1    | manager     | -          | 2024-04-01 |
    | person_manager    | b34      | rm1    | remote_seat | -          | -          |
    | person_account    | b35      | rm1    | agent       | -          | -          |
"""
ACCOUNTS = """
    | account_id | account_type    | status  | opened_on  |
    | b17        | time            | dormant | 2024-03-31 |
    | b18        | savings         | open    | 2024-02-29 |
    | b24a       | current         | closed  | 2020-01-01 |
    | b24b       | savings         | open    | 2024-01-01 |
    | b34        | savings         | frozen  | 2024-04-01 |
    | b35        | savings         | open    | 2020-01-01 |
    | b44        | social_security | open    | -          |
    | b45        | savings         | open    | 2019-03-31 |
"""
OWNERS = """
    | from_key | to_key | role      | started_on | ended_on   |
    | b17      | b17    | owner     | -          | -          |
    | b18      | b18    | owner     | 2024-03-31 | -          |
    | b24      | b24a   | owner     | -          | -          |
    | b24      | b24b   | owner     | -          | -          |
    | b25      | b24b   | co_holder | -          | -          |
    | b34      | b34    | owner     | -          | -          |
    | b35      | b35    | owner     | -          | 2024-03-31 |
    | b45      | b45    | owner     | -          | 2024-04-01 |
    | b59      | b45    | owner     | 2024-04-01 | -          |
"""


def _profiles() -> list[dict[str, str]]:
    """Give the profiles that say nothing but a birth date, of the people who are not drawn otherwise."""
    return [
        {"source_key": name, "birth_date": born, "registered_on": "2020-01-01"} for name, born in AGES.items()
    ]


def _declared() -> list[dict]:
    rows = {row["source_key"]: row for row in _profiles()}
    for text in (DECLARED, MARKS):
        for row in rows_of(text):
            key = row["source_key"] if row.get("source") != "app" else f"app {row['source_key']}"
            rows[key] = {**rows.get(key, {}), **row}
    return list(rows.values())


ROWS = [
    ("trusted.customers", _declared()),
    *DRAWN.items(),
    ("trusted.relationships", MANAGERS),
    ("trusted.accounts", ACCOUNTS),
    ("trusted.relationships", OWNERS),
    *owned_accounts("unopened", opened_on=None),
]
CASES = [
    *cases_of(
        """
    | tag                     | person   | kind     | answer       | why |
    | gender                  | b34      | positive | M            | the golden record says so |
    |                         | b17      | positive | M            | no record says it; digit 17 of the id is 3 |
    |                         | b18      | negative | F            | the golden record says F, so the id is not asked |
    |                         | b24      | null     | null unknown | an id of 15 digits has no digit 17 |
    |                         | b25      | negative | null unknown | a passport's number is no national id |
    |                         | two      | boundary | F            | of two ids that of the profile registered a day later |
    |                         | tie      | boundary | M            | registered on one day: the greater source, bank, decides |
    | age                     | b45      | positive | 45           | born on this day 45 years ago: the birthday counts |
    |                         | b44      | boundary | 44           | the birthday is tomorrow |
    |                         | newborn  | boundary | 0            | born on the day |
    |                         | unborn   | boundary | null unknown | born tomorrow: below 0 |
    |                         | b120     | boundary | 120          | a day before the 121st birthday |
    |                         | b121     | boundary | null unknown | 121 today: above 120 |
    |                         | leap     | boundary | 20           | born on a leap day |
    |                         | plain    | null     | null unknown | no birth date |
    |                         | two      | negative | null unknown | two profiles and no birth date in either |
    | age_band                | b17      | positive | U18          | 17 |
    |                         | b18      | boundary | 18-24        | 18 |
    |                         | b24      | boundary | 18-24        | 24 |
    |                         | b25      | boundary | 25-34        | 25 |
    |                         | b34      | boundary | 25-34        | 34 |
    |                         | b35      | boundary | 35-44        | 35 |
    |                         | b44      | boundary | 35-44        | 44 |
    |                         | b45      | boundary | 45-59        | 45 |
    |                         | b59      | boundary | 45-59        | 59 |
    |                         | b60      | boundary | 60P          | 60 |
    |                         | unborn   | negative | null unknown | not born yet: no age |
    |                         | plain    | null     | null unknown | no age |
    | city_tier               | ending   | positive | T1           | the city's parent |
    |                         | b17      | negative | null unknown | the city is not in code set city, only in another |
    |                         | two      | boundary | NT1          | the residence of the profile registered a day later |
    |                         | tie      | boundary | T1           | registered on one day: the greater source, bank |
    |                         | undated  | boundary | NT1          | a profile without a day is not the latest |
    |                         | b18      | null     | null unknown | the city is in the list and has no tier |
    | home_branch             | ending   | positive | b8           | the only profile, valid for the last day |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | b1           | the profile registered a day earlier |
    |                         | tie      | boundary | b4           | registered on one day: the smaller source, app |
    |                         | undated  | boundary | b6           | a profile without a day is not known to be the first |
    |                         | plain    | null     | null unknown | no branch stated |
    | acquisition_channel     | ending   | positive | branch       | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | branch       | the profile registered a day earlier |
    |                         | tie      | boundary | app          | registered on one day: the smaller source, app |
    |                         | undated  | boundary | app          | a profile without a day is not known to be the earliest |
    |                         | plain    | null     | null unknown | none stated |
    | acquisition_campaign    | ending   | positive | c8           | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | c1           | the profile registered a day earlier |
    |                         | tie      | boundary | c4           | registered on one day: the smaller source, app |
    |                         | undated  | boundary | c6           | a profile without a day is not known to be the earliest |
    |                         | plain    | null     | null unknown | none stated |
    | occupation_class        | ending   | positive | O1           | the parent of O11 |
    |                         | b18      | positive | O1           | O1 has no parent, so it is its own class |
    |                         | b17      | negative | null unknown | O9 is not in the list |
    |                         | two      | boundary | O2           | the profile registered a day later |
    |                         | tie      | boundary | O1           | registered on one day: the greater source, bank |
    |                         | plain    | null     | null unknown | not declared |
    | education               | ending   | positive | BACHELOR     | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | MASTER       | the profile registered a day later |
    |                         | tie      | boundary | BACHELOR     | registered on one day: the greater source, bank |
    |                         | plain    | null     | null unknown | not declared |
    | income_band             | ending   | positive | I1           | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | I2           | the profile registered a day later |
    |                         | tie      | boundary | I1           | registered on one day: the greater source, bank |
    |                         | plain    | null     | null unknown | not declared |
    | marital_state           | ending   | positive | SINGLE       | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | MARRIED      | the profile registered a day later |
    |                         | tie      | boundary | SINGLE       | registered on one day: the greater source, bank |
    |                         | plain    | null     | null unknown | not declared |
    | family_role             | ending   | positive | CHILD        | the only profile |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | two      | boundary | SPOUSE       | the profile registered a day later |
    |                         | tie      | boundary | CHILD        | registered on one day: the greater source, bank |
    |                         | plain    | null     | null unknown | not declared |
    | id_document_valid_until | two      | positive | 2024-06-30   | the later of two documents |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | ending   | boundary | 2024-03-31   | the profile holds for the last day |
    |                         | plain    | null     | null unknown | none registered |
    | id_document_state       | two      | positive | VALID        | 2024-06-30 is the 91st day |
    |                         | b18      | boundary | EXP90        | 2024-06-29 is the 90th day |
    |                         | ending   | boundary | EXP90        | the last day is today |
    |                         | b17      | boundary | EXPIRED      | the last day was yesterday |
    |                         | ended    | negative | null unknown | the profile ended on the day |
    |                         | plain    | null     | null unknown | none registered |
    | is_staff                | b24      | positive | true         | marked |
    |                         | b25      | negative | false        | marked as none |
    |                         | unmarked | boundary | false        | the mark ended on the day |
    |                         | b35      | boundary | true         | the mark ends tomorrow |
    |                         | b44      | default  | false        | not marked |
    | has_medical_insurance   | b24      | positive | true         | stated |
    |                         | b25      | negative | false        | stated as none |
    |                         | unmarked | boundary | false        | the statement ended on the day |
    |                         | b35      | boundary | true         | the statement ends tomorrow |
    |                         | b44      | default  | false        | not stated |
    | has_transaction_alerts  | b24      | positive | true         | subscribed |
    |                         | b25      | negative | false        | stated as none |
    |                         | unmarked | boundary | false        | the statement ended on the day |
    |                         | b35      | boundary | true         | the statement ends tomorrow |
    |                         | b44      | default  | false        | not stated |
    | is_deceased             | b35      | positive | true         | died in January |
    |                         | b24      | boundary | true         | died on the day |
    |                         | b25      | boundary | false        | a date of tomorrow has not come |
    |                         | unmarked | negative | false        | the statement ended on the day |
    |                         | b44      | default  | false        | no date |
    | has_relationship_manager | b17     | positive | true         | begins on the day |
    |                         | b18      | boundary | false        | begins tomorrow |
    |                         | b24      | boundary | false        | ended on the day |
    |                         | b25      | boundary | true         | ends tomorrow |
    |                         | b34      | negative | false        | a remote seat is no manager |
    |                         | plain    | default  | false        | nobody |
    | tenure_days             | b24      | positive | 1551         | the closed account of 2020-01-01 counts: 1461 days to 2024-01-01 and 90 |
    |                         | b18      | boundary | 31           | opened on 29 February |
    |                         | b17      | boundary | 0            | opened on the day |
    |                         | b34      | boundary | null not_applicable | opened tomorrow |
    |                         | b35      | boundary | null not_applicable | the ownership ended on the day |
    |                         | b45      | boundary | 1827         | the ownership ends tomorrow; five years with two leap days |
    |                         | b25      | negative | null not_applicable | a co-holder owns nothing |
    |                         | plain    | null     | null not_applicable | no account |
    |                         | unopened | null     | null unknown | an account whose opening day nobody states |
    | is_opening_day_known    | b24      | positive | true         | a closed account has its day, too |
    |                         | b17      | boundary | true         | opened on the day |
    |                         | b34      | boundary | null not_applicable | opened tomorrow |
    |                         | unopened | negative | false        | an account without a day |
    |                         | plain    | null     | null not_applicable | no account |
    | new_customer_day        | unopened | null     | null unknown | nobody knows since when |
    | lifecycle_aum           | unopened | null     | null unknown | nobody knows since when |
    | account_types_held      | b24      | positive | {savings}    | the closed one does not count |
    |                         | b17      | boundary | {time}       | a dormant account is not closed |
    |                         | b35      | boundary | {}           | the ownership ended on the day |
    |                         | b45      | boundary | {savings}    | the ownership ends tomorrow |
    |                         | b25      | negative | {}           | a co-holder owns nothing |
    |                         | plain    | default  | {}           | no account |
"""
    ),
    *cases_of(
        """
    | tag                     | person   | kind     | answer | why |
    | age                     | leap     | boundary | 19     | 29 February is reached on 28 February of other years |
    |                         | eighteen | boundary | 17     | the birthday is tomorrow, 1 March |
    |                         | monthend | boundary | 17     | both are ends of months, and the birthday is a month away |
    | age_band                | leap     | boundary | 18-24  | 19 |
    | is_deceased             | b24      | negative | false  | still to come |
    | has_relationship_manager | b24     | boundary | true   | has not ended yet |
""",
        on=dt.date(2023, 2, 28),
    ),
]
