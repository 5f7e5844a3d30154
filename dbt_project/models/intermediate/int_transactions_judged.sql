{{ config(materialized='ephemeral') }}
-- An active transaction is one the customer started and that is no interest, fee, sweep or reversal.
with merchant_groups as (
    select code, min(parent_code) as parent_code
    from {{ ref('stg_trusted__reference_values') }}
    where code_set = 'mcc'
    group by code
)

select
    transactions.source,
    transactions.transaction_id,
    transactions.account_id,
    transactions.transacted_on,
    transactions.transacted_at,
    transactions.direction,
    transactions.amount_base,
    transactions.transaction_type,
    transactions.initiator,
    transactions.channel,
    transactions.card_id,
    transactions.merchant_category,
    merchant_groups.parent_code as merchant_group,
    coalesce(transactions.is_reversal, false) as is_reversal,
    transactions.initiator = 'C'
        and not coalesce(transactions.is_reversal, false)
        and transactions.transaction_type not in ('INTEREST', 'PENALTY_INTEREST', 'FEE', 'SWEEP') as is_active
from {{ ref('stg_trusted__transactions') }} transactions
left join merchant_groups
    on merchant_groups.code = transactions.merchant_category
