{{ config(materialized='table') }}
-- Wages of one day are one payroll, whoever paid them.
with payrolls as (
    select
        owners.one_id,
        transactions.transacted_on as paid_on,
        cast(sum(transactions.amount_base) as decimal(18, 2)) as amount_base
    from {{ ref('int_transactions_judged') }} transactions
    join {{ ref('int_account_owners') }} owners
        on owners.source = transactions.source and owners.account_id = transactions.account_id
    where owners.one_id is not null
        and transactions.transaction_type = 'PAYROLL'
        and transactions.direction = 'credit'
        and not transactions.is_reversal
    group by owners.one_id, transactions.transacted_on
)

select
    one_id,
    paid_on,
    amount_base,
    row_number() over (partition by one_id order by paid_on desc) as place
from payrolls
