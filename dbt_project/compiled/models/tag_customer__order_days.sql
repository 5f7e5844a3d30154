-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_order_days.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_order_days') }}
    where one_id is not null
)

select
    one_id,
    -- purchase_interval_days: 购买间隔天数 · Purchase interval (tags/registry/retail.yml)
    case when count(case when ordered_on > date_sub({{ business_date() }}, 2555) and (days_since_previous) is not null and cast(days_since_previous as decimal(24,6)) is null then 1 end) > 0 then 999999999999999999 else element_at(transform(array(array_sort(collect_list(case when ordered_on > date_sub({{ business_date() }}, 2555) and (days_since_previous) is not null then cast(days_since_previous as decimal(24,6)) end))), numbers -> case when size(numbers) > 0 then (element_at(numbers, cast((cast(size(numbers) - 1 as bigint) * 5000 - mod(cast(size(numbers) - 1 as bigint) * 5000, 10000)) / 10000 as int) + 1) * cast(10000 - mod(cast(size(numbers) - 1 as bigint) * 5000, 10000) as decimal(5,0)) + element_at(numbers, least(cast((cast(size(numbers) - 1 as bigint) * 5000 - mod(cast(size(numbers) - 1 as bigint) * 5000, 10000)) / 10000 as int) + 1 + 1, size(numbers))) * cast(mod(cast(size(numbers) - 1 as bigint) * 5000, 10000) as decimal(5,0))) * 0.0001 end), 1) end as purchase_interval_days
from attributed
where ordered_on >= date_sub({{ business_date() }}, 2554)
group by one_id
