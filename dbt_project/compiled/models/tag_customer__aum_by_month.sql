-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_aum_by_month.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_aum_by_month') }}
    where one_id is not null
)

select
    one_id,
    -- aum_avg_month_to_date: 当月日均AUM · Average AUM, month to date (tags/registry/measures.yml)
    sum(case when (months_back = 0) then aum_average end) as aum_avg_month_to_date,
    -- aum_avg_lm_3: LM-3月日均AUM · Average AUM, LM-3 (tags/registry/measures.yml)
    sum(case when (months_back = 4) then aum_average end) as aum_avg_lm_3,
    -- aum_max_monthly_avg_6m: 近6月最高月日均AUM · Highest monthly average AUM, 6 months (tags/registry/measures.yml)
    max(case when (months_back >= 1) then aum_average end) as aum_max_monthly_avg_6m,
    -- aum_avg_last_month: 上月日均AUM · Average AUM, last month (tags/registry/value.yml)
    sum(case when (months_back = 1) then aum_average end) as aum_avg_last_month
from attributed
group by one_id
