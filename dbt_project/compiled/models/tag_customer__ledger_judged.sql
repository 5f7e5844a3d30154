-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_ledger_judged.
{{ config(materialized='ephemeral') }}

with attributed as (
    select owners.one_id, facts.*
    from {{ ref('int_ledger_judged') }} facts
    join {{ ref('int_account_owners') }} owners
        on owners.source = facts.source and owners.account_id = facts.account_id
    where owners.one_id is not null
)

select
    one_id,
    -- contribution_12m: 近12月贡献 · Contribution, 12 months (tags/registry/value.yml)
    sum(case when (has_arrived) and booked_on >= add_months(trunc({{ business_date() }}, 'MM'), -12) and booked_on < trunc({{ business_date() }}, 'MM') then amount_base end) as contribution_12m
from attributed
where booked_on >= add_months(trunc({{ business_date() }}, 'MM'), -12)
group by one_id
