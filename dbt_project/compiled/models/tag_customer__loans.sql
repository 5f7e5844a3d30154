-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.loans.
{{ config(materialized='ephemeral') }}

with attributed as (
    select owners.one_id, facts.*
    from {{ ref('stg_trusted__loans') }} facts
    join {{ ref('int_account_owners') }} owners
        on owners.source = facts.source and owners.account_id = facts.account_id
    where owners.one_id is not null
)

select
    one_id,
    -- has_loan_paid_early_90d: 近90天提前结清贷款 · Loan paid off early, 90 days (tags/registry/measures.yml)
    max((paid_off_on > date_sub({{ business_date() }}, 90) and paid_off_on <= {{ business_date() }} and paid_off_on < matures_on)) as has_loan_paid_early_90d
from attributed
group by one_id
