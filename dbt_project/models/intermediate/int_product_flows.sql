{{ config(materialized='ephemeral') }}
-- Money bought into a product and redeemed from it. A reversal takes back what it reverses: it counts with the other sign, whichever
-- direction it is booked in.
select
    source,
    transaction_id,
    product_id,
    transacted_on,
    case when transaction_type in ('WEALTH_BUY', 'FUND_BUY') then 1 else -1 end
        * case when coalesce(is_reversal, false) then -1 else 1 end
        * amount_base as net_amount
from {{ ref('stg_trusted__transactions') }}
where product_id is not null
    and transaction_type in ('WEALTH_BUY', 'WEALTH_REDEEM', 'FUND_BUY', 'FUND_REDEEM')
