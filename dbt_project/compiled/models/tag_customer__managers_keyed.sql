-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_managers_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_managers_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- has_relationship_manager: 有无管户经理 · Has RM (tags/registry/basic.yml)
    max((role = 'manager')) as has_relationship_manager
from attributed
group by one_id
