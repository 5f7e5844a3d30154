{{ config(materialized='ephemeral') }}
-- Everything a person owes under one roof: running loans (of the account's owner) and live credit cards (of the
-- holder). What was only applied for is no credit yet.
select
    owners.one_id,
    loans.source,
    loans.loan_id as credit_id,
    'loan' as credit_kind,
    coalesce(loans.outstanding_base, loans.outstanding) as outstanding,
    cast(null as decimal(18, 2)) as credit_limit,
    loans.days_past_due,
    loans.loan_class as credit_class
from {{ ref('stg_trusted__loans') }} loans
join {{ ref('int_account_owners') }} owners
    on owners.source = loans.source and owners.account_id = loans.account_id
where loans.status in ('active', 'defaulted')
    and owners.one_id is not null

union all

select
    one_id,
    source,
    card_id as credit_id,
    'card' as credit_kind,
    used_amount as outstanding,
    credit_limit,
    days_past_due,
    card_class as credit_class
from {{ ref('int_cards_keyed') }}
where card_type = 'credit'
    and status in ('ACTIVATED', 'BOUND', 'ACTIVE', 'SLEEPING')
