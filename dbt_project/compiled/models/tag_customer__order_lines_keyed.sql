-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_order_lines_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('int_order_lines_keyed') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- large_line_ratio_365d: 近365天大数量行占比 · Share of large lines, 365 days (tags/registry/measures.yml)
    sum(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then case when quantity >= 48 then 1 else 0 end end) / nullif(sum(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then 1 end), 0) as large_line_ratio_365d,
    -- net_spend_365d: 近365天净消费 · Net spend, 365 days (tags/registry/retail.yml)
    sum(case when ordered_on > date_sub({{ business_date() }}, 365) then amount_base end) as net_spend_365d,
    -- average_order_value: 客单价 · Average order value (tags/registry/retail.yml)
    sum(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then amount_base end) / nullif(size(collect_set(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then concat_ws(':', source, order_id) end)), 0) as average_order_value,
    -- return_ratio_365d: 近365天退货率 · Return ratio, 365 days (tags/registry/retail.yml)
    sum(case when ordered_on > date_sub({{ business_date() }}, 365) then case when is_return then abs(amount_base) else 0 end end) / nullif(sum(case when ordered_on > date_sub({{ business_date() }}, 365) then case when is_return then 0 else amount_base end end), 0) as return_ratio_365d,
    -- distinct_product_count_365d: 近365天购买商品数 · Distinct products, 365 days (tags/registry/retail.yml)
    size(collect_set(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then product_id end)) as distinct_product_count_365d
from attributed
where ordered_on >= date_sub({{ business_date() }}, 364)
group by one_id
