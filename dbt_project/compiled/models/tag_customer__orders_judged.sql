-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_orders_judged.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('int_orders_judged') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- order_count_365d: 近365天订单数 · Orders, 365 days (tags/registry/retail.yml)
    count(case when (is_sale) and ordered_on > date_sub({{ business_date() }}, 365) then 1 end) as order_count_365d,
    -- days_since_last_order: 距最近下单天数 · Days since last order (tags/registry/retail.yml)
    min(case when (is_sale) and ordered_on > date_sub({{ business_date() }}, 2555) then datediff({{ business_date() }}, ordered_on) end) as days_since_last_order,
    -- first_order_on: 首单日期 · First order on (tags/registry/retail.yml)
    min(case when (is_sale) and ordered_on > date_sub({{ business_date() }}, 2555) then ordered_on end) as first_order_on
from attributed
where ordered_on >= date_sub({{ business_date() }}, 2554)
group by one_id
