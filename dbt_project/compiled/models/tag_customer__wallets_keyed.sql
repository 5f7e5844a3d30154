-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_wallets_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_wallets_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- has_wallet_bound: 三方支付绑卡 · Wallet bound (tags/registry/behaviour.yml)
    max((is_bound)) as has_wallet_bound,
    -- days_since_wallet_bound: 距最近绑卡天数 · Days since a wallet was bound (tags/registry/measures.yml)
    min(case when (started_on <= {{ business_date() }}) then datediff({{ business_date() }}, started_on) end) as days_since_wallet_bound
from attributed
group by one_id
