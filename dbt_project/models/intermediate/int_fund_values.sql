{{ config(materialized='ephemeral') }}
-- Units times the latest unit value; where a position has no units, its stated balance; where an account has no
-- positions, its balance of class fund.
with positions as (
    select
        holdings.source,
        holdings.account_id,
        sum(case
            when holdings.balance_base is not null then holdings.balance_base
            when products.unit_value_on <= {{ business_date() }} and holdings.quantity is not null
                then cast(holdings.quantity * products.unit_value as decimal(18, 2))
            else holdings.balance
        end) as fund_value
    from {{ ref('stg_trusted__holdings') }} holdings
    left join {{ ref('stg_trusted__products') }} products
        on products.source = holdings.source and products.product_id = holdings.product_id
    where holdings.product_class = 'fund' and holdings.status = 'active'
    group by holdings.source, holdings.account_id
),

balances as (
    select source, account_id, sum(balance_base) as fund_value
    from {{ ref('int_balance_spans') }}
    where is_current and product_class = 'fund'
    group by source, account_id
)

select
    coalesce(positions.source, balances.source) as source,
    coalesce(positions.account_id, balances.account_id) as account_id,
    coalesce(positions.fund_value, balances.fund_value) as fund_value
from positions
full outer join balances
    on balances.source = positions.source and balances.account_id = positions.account_id
