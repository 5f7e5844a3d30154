-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per product that has rows in int_product_flows.
{{ config(materialized='ephemeral') }}

with attributed as (
    select facts.source as key__source, facts.product_id as key__product_id, facts.*
    from {{ ref('int_product_flows') }} facts
    where facts.source is not null and facts.product_id is not null
)

select
    key__source as source,
    key__product_id as product_id,
    -- product_net_flow_30d: 产品近30天净流入 · Product net flow, 30 days (tags/registry/entities.yml)
    sum(case when transacted_on > date_sub({{ business_date() }}, 30) then net_amount end) as product_net_flow_30d
from attributed
where transacted_on >= date_sub({{ business_date() }}, 29)
group by key__source, key__product_id
