-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per branch that its source knows on D.
{{ config(materialized='table') }}

with read as (
    select {{ sent_to_every_task(['customer_tags__home_branches']) }}
        entities.source,
        entities.branch_id,
        cast(coalesce(customer_tags__home_branches.branch_active_customer_count, 0) as int) as branch_active_customer_count,
        array_compact(array(
            case when customer_tags__home_branches.branch_id is not null then 'customer_tags__home_branches' end
        )) as read_sources,
        cast(array() as array<string>) as lost_answers
    from (
        select distinct source, branch_id
        from {{ ref('stg_trusted__branches') }}
    ) entities
    left join {{ ref('tag_branch__customer_tags__home_branches') }} customer_tags__home_branches
        on customer_tags__home_branches.source = entities.source and customer_tags__home_branches.branch_id = entities.branch_id
)

select
    source,
    branch_id,
    branch_active_customer_count,
    cast(array() as array<struct<tag:string,reason:string>>) as null_exceptions,
    read_sources,
    lost_answers as unexplained_nulls,
    {{ business_date() }} as as_of
from read
