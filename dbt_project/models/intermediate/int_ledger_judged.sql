{{ config(materialized='ephemeral') }}
-- Costs are subtracted. The ledger of the last twelve complete months has arrived when each of them has an entry.
with arrivals as (
    select count(distinct trunc(booked_on, 'MM')) = 12 as has_arrived
    from {{ ref('stg_trusted__ledger') }}
    where booked_on >= add_months(trunc({{ business_date() }}, 'MM'), -12) and booked_on < trunc({{ business_date() }}, 'MM')
)

select
    ledger.source,
    ledger.entry_id,
    ledger.account_id,
    ledger.booked_on,
    case when ledger.entry_type = 'COST' then -1 else 1 end * coalesce(ledger.amount_base, ledger.amount) as amount_base,
    arrivals.has_arrived
from {{ ref('stg_trusted__ledger') }} ledger
cross join arrivals
