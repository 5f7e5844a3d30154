-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per branch that has people in int_home_branches.
{{ config(materialized='ephemeral') }}

with attributed as (
    select belonging.key__source, belonging.key__branch_id, facts.*
    from {{ ref('customer_tags') }} facts
    join (
        select distinct one_id, source as key__source, branch_id as key__branch_id
        from {{ ref('int_home_branches') }}
        where source is not null and branch_id is not null
    ) belonging
        on belonging.one_id = facts.one_id
)

select
    key__source as source,
    key__branch_id as branch_id,
    -- branch_active_customer_count: 机构活跃客户数 · Branch active customers (tags/registry/entities.yml)
    count(case when (is_mau) then 1 end) as branch_active_customer_count
from attributed
group by key__source, key__branch_id
