"""A model of Spark SQL for DuckDB: calls of Jinja stand where they stood."""

from __future__ import annotations

import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.patterns import Untranslatable
from tags.build.dialect import duckdb_model, duckdb_model_of


def words(text):
    return " ".join(text.split())


def test_calls_keep_their_places_and_the_words_around_them_change():
    text = duckdb_model(
        "{{ config(materialized='table') }}\n-- {{ ref('not_this') }} is only said\n"
        "select people.one_id, a / b as share, date_sub({{ business_date() }}, 7) as week\n"
        "from {{ ref('int_people') }} people join {{ source('trusted', 'events') }} events on true\n"
    )
    assert text.startswith("{{ config(materialized='table') }}")
    assert "spark_div(a, b) AS share" in words(text)
    assert "spark_date_add({{ business_date() }}, 7 * -1) AS week" in words(text)
    assert "FROM {{ ref('int_people') }} AS people JOIN {{ source('trusted', 'events') }} AS events" in words(
        text
    )


def test_a_bucket_in_texts_of_jinja_is_a_call_of_duckdbs_function():
    text = duckdb_model(
        'select {{ bucket("concat(\'GCG-\', year(" ~ business_date() ~ "))", "one_id") }} as b from {{ ref(\'p\') }}'
    )
    assert (
        "spark_bucket(" in text
        and "year(" in text
        and "{{ business_date() }}" in text
        and 'bucket("' not in text
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ config(materialized='ephemeral') }}\n-- said\n{{ states_on('accounts') }}\n",
        "select {% if target.type == 'duckdb' %}1{% else %}2{% endif %} as v",
    ],
)
def test_a_model_of_calls_alone_or_of_both_engines_stays_as_it_is(text):
    assert duckdb_model(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "select {% for i in [1] %} {{ i }} {% endfor %} as v",
        "select rand() as v",
        "select reflect('java.lang', 'x')",
        "selec 1 from",
    ],
)
def test_what_duckdb_cannot_be_given_is_refused_with_the_file(text):
    with pytest.raises(Untranslatable):
        duckdb_model(text)
    with pytest.raises(SettingsInvalid, match=r"site\.sql.*the model .*`engine: spark` computes it"):
        duckdb_model_of("site.sql", text)
