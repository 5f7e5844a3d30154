"""The dbt models whose rules tags share with suppression: ``vocabulary.contact_rules``, written for dbt.

They depend on the workspace's ``consent.yml``, so they are generated with the models of tags. What their columns mean stands
with the hand-written models in ``dbt_project/models/intermediate/intermediate.yml``.
"""

from __future__ import annotations

from tags.compile.sql_text import BUSINESS_DATE, dbt_literal
from vocabulary.contact_rules import (
    RulePlace,
    channel_responses_sql,
    contact_facts_sql,
    controls_sql,
    global_controls_sql,
    receipts_sql,
)
from vocabulary.entities import GROUPS, Entity
from vocabulary.policy import CHANNELS, Policy
from vocabulary.relations import entity_people_sql

GENERATED = "-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.\n"
_PEOPLE = "{{ ref('int_people') }}"
_PROFILES = "{{ ref('int_profiles_keyed') }}"
_REDIRECTS = "{{ ref('int_redirects') }}"
# An audience is used on the day after the business date at the earliest.
DAYS_OF_USE = 1


def shared_models(policy: Policy) -> dict[str, str]:
    """Give the text of every shared model by its name."""
    place = RulePlace(_source, _day, dbt_literal)
    uses = [("marketing", channel, DAYS_OF_USE) for channel in CHANNELS]
    facts = contact_facts_sql(uses, policy, place, persons=_PROFILES)
    parts, columns = ",\n".join(facts.parts), ",\n  ".join(["t.one_id", *facts.columns])
    joins = "\n".join(facts.joins)
    contact_facts = f"WITH {parts}\nSELECT\n  {columns}\nFROM {_PEOPLE} t\n{joins}"
    responses = channel_responses_sql(place, receipts="{{ ref('int_receipts_keyed') }}")
    return {
        "int_channel_responses": _model("ephemeral", responses),
        "int_contact_facts": _model("table", contact_facts),
        "int_controls_keyed": _model("ephemeral", controls_sql(place, persons=_PROFILES)),
        "int_global_controls": _model("ephemeral", global_controls_sql(policy, place, people=_PEOPLE)),
        "int_receipts_keyed": _model("ephemeral", receipts_sql(place)),
        **{str(entity.model): _model("ephemeral", _people_of(entity, place)) for entity in GROUPS},
    }


def _people_of(entity: Entity, place: RulePlace) -> str:
    """Give who belongs to each group of people: its key and one_id."""
    return (
        f"WITH persons AS (SELECT one_id, source, source_key FROM {_PROFILES}),\n"
        f"belonging AS (\n  {entity_people_sql(entity.code, place)})\n"
        f"SELECT source, entity_id AS {entity.key[1]}, one_id FROM belonging"
    )


def _source(table: str) -> str:
    if table == "identity.redirects":
        return _REDIRECTS
    database, _, name = table.partition(".")
    return f"{{{{ source('{database}', '{name}') }}}}"


def _day(days: int) -> str:
    return f"date_add({BUSINESS_DATE}, {days})" if days else BUSINESS_DATE


def _model(materialized: str, sql: str) -> str:
    return f"{GENERATED}{{{{ config(materialized='{materialized}') }}}}\n{sql}\n"
