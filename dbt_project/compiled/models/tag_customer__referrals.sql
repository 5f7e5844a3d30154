-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_referrals.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_referrals') }}
    where one_id is not null
)

select
    one_id,
    -- referral_count_365d: 近365天推荐人数 · Referrals, 365 days (tags/registry/behaviour.yml)
    size(collect_set(case when registered_on > date_sub({{ business_date() }}, 365) then referred_one_id end)) as referral_count_365d
from attributed
where registered_on >= date_sub({{ business_date() }}, 364)
group by one_id
