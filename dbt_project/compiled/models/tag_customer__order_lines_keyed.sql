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
    -- top_category_365d: 近365天最爱品类 · Top category, 365 days (tags/registry/retail.yml)
    element_at(transform(array(array_sort(collect_list(case when ordered_on > date_sub({{ business_date() }}, 365) and (category) is not null then struct(category as value, cast(coalesce(cast(amount_base as decimal(24,6)), case when (amount_base) > 0 then 999999999999999999 when (amount_base) < 0 then -999999999999999999 else 0 end) as decimal(24,6)) as weight) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(aggregate(slice(entries, coalesce(get(ends, run - 2), 0) + 1, element_at(ends, run) - coalesce(get(ends, run - 2), 0)), cast(0 as decimal(38,6)), (total, entry) -> cast(total + entry.weight as decimal(38,6))) as weight, element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) as top_category_365d,
    -- distinct_product_count_365d: 近365天购买商品数 · Distinct products, 365 days (tags/registry/retail.yml)
    size(collect_set(case when (not is_return) and ordered_on > date_sub({{ business_date() }}, 365) then product_id end)) as distinct_product_count_365d
from attributed
where ordered_on >= date_sub({{ business_date() }}, 364)
group by one_id
