-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_parents.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_parents') }}
    where one_id is not null
)

select
    one_id,
    -- is_parent: 有子女 · Has a child (tags/registry/measures.yml)
    max(true) as is_parent
from attributed
group by one_id
