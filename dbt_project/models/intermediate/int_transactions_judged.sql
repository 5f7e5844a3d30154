{{ config(materialized='ephemeral') }}
-- An active transaction is one the customer started and that is no interest, fee, sweep or reversal.
select
    source,
    transaction_id,
    account_id,
    transacted_on,
    transacted_at,
    direction,
    amount_base,
    transaction_type,
    initiator,
    channel,
    card_id,
    merchant_category,
    coalesce(is_reversal, false) as is_reversal,
    initiator = 'C'
        and not coalesce(is_reversal, false)
        and transaction_type not in ('INTEREST', 'PENALTY_INTEREST', 'FEE', 'SWEEP') as is_active
from {{ ref('stg_trusted__transactions') }}
