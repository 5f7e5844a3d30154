-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_overdue_counts.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_overdue_counts') }}
    where one_id is not null
)

select
    one_id,
    -- overdue_count_12m: 近12月逾期次数 · Overdue events, 12 months (tags/registry/risk.yml)
    sum(overdue_count) as overdue_count_12m
from attributed
group by one_id
