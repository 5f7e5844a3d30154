{#- No row of a mart tells of fewer people than this: their values would be those of single ones. -#}
{% macro least_people() -%}
{{ var('least_people', 10) }}
{%- endmacro %}

{#- Whether a group goes into the row OTHER: it is small, or those smaller than it are too few to stand together without it. -#}
{% macro is_small_group(people_count, smaller_count) -%}
({{ people_count }} < {{ least_people() }} or ({{ smaller_count }} > 0 and {{ smaller_count }} < {{ least_people() }}))
{%- endmacro %}

{#- The day of the snapshot that is compared with. A night says it, so that no other snapshot is read, and so may whoever types
    `--vars 'compare_on: 2026-09-30'`; else it is looked up. -#}
{% macro compared_on() -%}
{#- Named in either case: a parsed project serves nights with and without the variable. -#}
{%- set days = ref('int_compared_days') -%}
{% if var('compare_on', none) %}date'{{ var('compare_on') }}'{% else %}(select compared_on from {{ days }}){% endif %}
{%- endmacro %}

{#- How deep each person came in each funnel: of the events of a step, each one keeps the latest first step from which it is reached in
    time, each step after the one before. The latest is enough: from an earlier one less time would be left. -#}
{% macro funnel_depths(events, most_steps) -%}
with chain_1 as (
    select funnel, one_id, step, micros, within_micros, case when step = 1 then micros end as started_micros
    from {{ events }}
)
{%- for step in range(2, most_steps + 1) %},

before_{{ step }} as (
    select
        *,
        max(case when step = {{ step - 1 }} then started_micros end) over (
            partition by funnel, one_id order by micros range between unbounded preceding and 1 preceding
        ) as chain_micros
    from chain_{{ step - 1 }}
),

chain_{{ step }} as (
    select
        funnel,
        one_id,
        step,
        micros,
        within_micros,
        case
            when step <> {{ step }} then started_micros
            when micros - chain_micros <= within_micros then chain_micros
        end as started_micros
    from before_{{ step }}
)
{%- endfor %}

select funnel, one_id, max(step) as depth
from chain_{{ most_steps }}
where started_micros is not null
group by funnel, one_id
{%- endmacro %}
