"""Whose an account is: segments and tags say the same of every relationship a source can state."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_bank import rows_of

import vocabulary
from lakehouse.query.desk import open_alone
from segments.choosing.leaf_tables import translated_sql
from vocabulary.contact_rules import lake_place
from vocabulary.relations import account_owners_sql

D = dt.date(2026, 11, 18)
MODEL = (
    Path(vocabulary.__file__).parents[1]
    / "dbt_project"
    / "models"
    / "intermediate"
    / "int_account_owners.sql"
)
DAY = st.one_of(st.none(), st.sampled_from([D + dt.timedelta(days=n) for n in (-2, -1, 0, 1)]))
RELATIONSHIPS = st.builds(
    lambda person, account, role, kind, start, end, opened, closed: {
        "relationship_type": kind, "from_source": "core", "from_key": person, "to_source": "core", "to_key": account,
        "role": role, "started_on": start, "ended_on": end, "valid_from": opened or D, "valid_to": closed,
    },
    st.sampled_from(["c1", "c2", "c3", "nobody"]), st.sampled_from(["a1", "a2"]), st.sampled_from(["owner", "owner", "agent"]),
    st.sampled_from(["person_account", "person_account", "card_wallet"]), DAY, DAY, DAY, DAY,
)  # fmt: skip


def model_sql() -> str:
    """The part of dbt's model that picks the owner, over the rows that its staging model would give."""
    owners = re.search(r"with owners as \((.*?)\n\),", MODEL.read_text(), re.DOTALL)[1]
    day = f"date'{D}'"
    staged = (
        f"(select * from relationships where valid_from <= {day} and (valid_to is null or valid_to > {day}))"
    )
    sql = owners.replace("{{ ref('stg_trusted__relationships') }}", staged).replace(
        "{{ business_date() }}", day
    )
    return (
        f"WITH owners AS ({sql}) SELECT owners.source, owners.account_id, p.one_id FROM owners"
        " JOIN persons p ON p.source = owners.person.from_source AND p.source_key = owners.person.from_key"
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(RELATIONSHIPS, max_size=8))
def test_the_owner_of_an_account_is_the_one_that_tags_count_its_money_for(rows):
    persons = [{"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in (1, 2, 3)]
    with open_alone("Asia/Shanghai", threads=1) as desk:
        names = {
            "relationships": desk.lend("relationships", rows_of("trusted.relationships", rows)),
            "persons": desk.lend("persons", rows_of("identity.memberships", persons)),
        }
        names["trusted.relationships"] = names["relationships"]
        answers = [
            sorted(desk.rows(translated_sql(sql, names)))
            for sql in (account_owners_sql(lake_place(D)), model_sql())
        ]
    assert answers[0] == answers[1]
