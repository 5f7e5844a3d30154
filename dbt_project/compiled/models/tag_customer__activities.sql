-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_activities.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_activities') }}
    where one_id is not null
)

select
    one_id,
    -- has_dropped_out_of_activity_7d: 近7天活动中途流失 · Dropped out of an activity, 7 days (tags/registry/behaviour.yml)
    max((is_open) and seen_on > date_sub({{ business_date() }}, 7)) as has_dropped_out_of_activity_7d
from attributed
where seen_on >= date_sub({{ business_date() }}, 6)
group by one_id
