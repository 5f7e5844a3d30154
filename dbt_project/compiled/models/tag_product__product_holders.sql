-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per product that has rows in int_product_holders.
{{ config(materialized='ephemeral') }}

with attributed as (
    select facts.source as key__source, facts.product_id as key__product_id, facts.*
    from {{ ref('int_product_holders') }} facts
    where facts.source is not null and facts.product_id is not null
)

select
    key__source as source,
    key__product_id as product_id,
    -- product_holder_count: 产品持有人数 · Product holders (tags/registry/entities.yml)
    size(collect_set(one_id)) as product_holder_count
from attributed
group by key__source, key__product_id
