-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per product that its source knows on D.
{{ config(materialized='table') }}

with read as (
    select {{ sent_to_every_task(['product_holders', 'product_flows']) }}
        entities.source,
        entities.product_id,
        cast(coalesce(product_holders.product_holder_count, 0) as int) as product_holder_count,
        cast(coalesce(product_flows.product_net_flow_30d, 0) as decimal(18,2)) as product_net_flow_30d,
        array_compact(array(
            case when product_holders.product_id is not null then 'product_holders' end,
            case when product_flows.product_id is not null then 'product_flows' end
        )) as read_sources,
        cast(array() as array<string>) as lost_answers
    from (
        select distinct source, product_id
        from {{ ref('stg_trusted__products') }}
    ) entities
    left join {{ ref('tag_product__product_holders') }} product_holders
        on product_holders.source = entities.source and product_holders.product_id = entities.product_id
    left join {{ ref('tag_product__product_flows') }} product_flows
        on product_flows.source = entities.source and product_flows.product_id = entities.product_id
)

select
    source,
    product_id,
    product_holder_count,
    product_net_flow_30d,
    cast(array() as array<struct<tag:string,reason:string>>) as null_exceptions,
    read_sources,
    lost_answers as unexplained_nulls,
    {{ business_date() }} as as_of
from read
