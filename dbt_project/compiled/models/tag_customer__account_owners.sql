-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_account_owners.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_account_owners') }}
    where one_id is not null
)

select
    one_id,
    -- tenure_days: 开户天数 · Tenure days (tags/registry/basic.yml)
    max(case when (opened_on <= {{ business_date() }}) then datediff({{ business_date() }}, opened_on) end) as tenure_days,
    -- account_types_held: 持有账户类型 · Account types held (tags/registry/measures.yml)
    array_sort(collect_set(case when (status <> 'closed') then account_type end)) as account_types_held,
    -- has_repayment_contract: 还款签约 · Repayment contract (tags/registry/measures.yml)
    max(repays_loan) as has_repayment_contract,
    -- is_opening_day_known: 开户日是否已知 · An opening day is known (tags/registry/measures.yml)
    max(case when opened_on <= {{ business_date() }} then 1 when opened_on is null then 0 end) >= 1 as is_opening_day_known
from attributed
group by one_id
