-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_fund_values.
{{ config(materialized='ephemeral') }}

with attributed as (
    select owners.one_id, facts.*
    from {{ ref('int_fund_values') }} facts
    join {{ ref('int_account_owners') }} owners
        on owners.source = facts.source and owners.account_id = facts.account_id
    where owners.one_id is not null
)

select
    one_id,
    -- fund_balance: 基金持仓 · Fund holdings (tags/registry/value.yml)
    sum(fund_value) as fund_balance
from attributed
group by one_id
