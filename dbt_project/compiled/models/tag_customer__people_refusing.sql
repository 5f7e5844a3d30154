-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_people_refusing.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_people_refusing') }}
    where one_id is not null
)

select
    one_id,
    -- is_do_not_disturb: 勿扰名单 · Do not disturb (tags/registry/marketing.yml)
    max(has_refused or has_complained) as is_do_not_disturb
from attributed
group by one_id
