{{ config(materialized='ephemeral') }}
-- Every loan that a source ever told of, also one that it has forgotten since; what was only applied for was none.
select
    source,
    loan_id,
    account_id,
    max(case when status in ('active', 'paid_off', 'defaulted') then 1 else 0 end) = 1 as was_granted
from {{ source('trusted', 'loans') }}
where valid_from <= {{ business_date() }}
group by source, loan_id, account_id
