{{ config(materialized='table') }}
-- Balances are sparse: each holds from its day until the next one of the same account and class. On the same day
-- the latest arrival wins.
with latest_arrivals as (
    select
        *,
        row_number() over (
            partition by source, account_id, product_class, balance_on
            order by _arrived_on desc, _file desc, _row desc
        ) as place
    from {{ ref('stg_trusted__balances') }}
),

spans as (
    select
        source,
        account_id,
        product_class,
        balance_base,
        balance_on as starts_on,
        lead(balance_on) over (
            partition by source, account_id, product_class order by balance_on
        ) as next_on
    from latest_arrivals
    where place = 1
),

dated as (
    select *, coalesce(next_on, date_add({{ business_date() }}, 1)) as ends_on
    from spans
)

select
    owners.one_id,
    dated.source,
    dated.account_id,
    dated.product_class,
    dated.starts_on,
    dated.ends_on,
    dated.balance_base,
    dated.next_on is null as is_current,
    -- custody belongs to a third party and loans are debt: neither is an asset under management
    dated.product_class in ('demand', 'time', 'wealth', 'fund', 'insurance', 'bond', 'metal', 'trust') as is_aum
from dated
left join {{ ref('int_account_owners') }} owners
    on owners.source = dated.source and owners.account_id = dated.account_id
