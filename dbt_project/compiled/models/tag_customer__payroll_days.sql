-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_payroll_days.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_payroll_days') }}
    where one_id is not null
)

select
    one_id,
    -- payday: 发薪日 · Usual payday (tags/registry/value.yml)
    element_at(transform(array(array_sort(collect_list(case when (place <= 6) and paid_on > date_sub({{ business_date() }}, 2555) and (day(paid_on)) is not null then struct(day(paid_on) as value, (paid_on) is not null as has_1, paid_on as order_1) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, element_at(entries, element_at(ends, run)).has_1 as has_1, element_at(entries, element_at(ends, run)).order_1 as order_1, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) as payday
from attributed
where paid_on >= date_sub({{ business_date() }}, 2554)
group by one_id
