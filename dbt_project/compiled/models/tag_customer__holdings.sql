-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.holdings.
{{ config(materialized='ephemeral') }}

with attributed as (
    select owners.one_id, facts.*
    from {{ ref('stg_trusted__holdings') }} facts
    join {{ ref('int_account_owners') }} owners
        on owners.source = facts.source and owners.account_id = facts.account_id
    where owners.one_id is not null
)

select
    one_id,
    -- max_held_risk: 持仓最高风险等级 · Highest risk held (tags/registry/measures.yml)
    max(case when (status = 'active' and balance > 0) then risk_level end) as max_held_risk,
    -- has_financial_product: 持有投资保险 · Holds an investment or insurance (tags/registry/measures.yml)
    max((status = 'active' and product_class in ('wealth', 'fund', 'insurance'))) as has_financial_product,
    -- days_to_next_maturity: 最近到期天数 · Days to next maturity (tags/registry/value.yml)
    min(case when (product_class in ('wealth', 'time') and status = 'active' and matures_on >= {{ business_date() }} and matures_on <= date_add({{ business_date() }}, 3650)) then datediff(matures_on, {{ business_date() }}) end) as days_to_next_maturity
from attributed
group by one_id
