{#- The business date D as a SQL literal. -#}
{% macro business_date() -%}
date'{{ var('business_date') }}'
{%- endmacro %}

{#- The day whose map of OneIDs counts: without end for today's, D where `identity` is `as-of`. -#}
{% macro map_day() -%}
{% if var('identity', 'today') == 'as-of' %}{{ business_date() }}{% else %}date'9999-12-30'{% endif %}
{%- endmacro %}

{#- Rows of a fact table as of D: known by then, and not dated after it. -#}
{% macro facts_as_of(table, event_date) -%}
select *
from {{ source('trusted', table) }}
where _arrived_on <= {{ business_date() }}
    and {{ event_date }} <= {{ business_date() }}
{%- endmacro %}

{#- Rows of a state table that were valid on D, by when we knew. -#}
{% macro states_on(table) -%}
select *
from {{ source('trusted', table) }}
where valid_from <= {{ business_date() }}
    and (valid_to is null or valid_to > {{ business_date() }})
{%- endmacro %}

{#- First day of the month `back` months before the month of D (0 is the month of D). -#}
{% macro month_start(back) -%}
add_months(trunc({{ business_date() }}, 'MM'), -{{ back }})
{%- endmacro %}

{#- How many days two half-open ranges of days share. -#}
{% macro shared_days(starts_on, ends_on, from_day, to_day) -%}
greatest(0, datediff(least({{ ends_on }}, {{ to_day }}), greatest({{ starts_on }}, {{ from_day }})))
{%- endmacro %}
