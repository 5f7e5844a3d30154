-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_channels_reachable.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_channels_reachable') }}
    where one_id is not null
)

select
    one_id,
    -- reachable_channels: 可触达渠道 · Reachable channels (tags/registry/marketing.yml)
    array_sort(collect_set(case when (is_granted and is_usable) then channel end)) as reachable_channels
from attributed
group by one_id
