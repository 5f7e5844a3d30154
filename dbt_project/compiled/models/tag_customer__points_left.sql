-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_points_left.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_points_left') }}
    where one_id is not null
)

select
    one_id,
    -- points_balance: 积分余额 · Points balance (tags/registry/marketing.yml)
    sum(case when (expires_on is null or expires_on > {{ business_date() }}) then points_left end) as points_balance,
    -- points_expiring_30d: 30天内到期积分 · Points expiring, 30 days (tags/registry/marketing.yml)
    sum(case when (expires_on > {{ business_date() }} and expires_on <= date_add({{ business_date() }}, 30)) then points_left end) as points_expiring_30d
from attributed
group by one_id
