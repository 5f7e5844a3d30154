-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select as_of, is_now, one_id, 'aum_tier' as track, coalesce(aum_tier, 'UNKNOWN') as stage,
  coalesce(home_branch, 'UNKNOWN') as branch_id, aum_eod, is_mau
from {{ ref('int_people_by_day') }}
union all
select as_of, is_now, one_id, 'lifecycle_mau' as track, coalesce(lifecycle_mau, 'UNKNOWN') as stage,
  coalesce(home_branch, 'UNKNOWN') as branch_id, aum_eod, is_mau
from {{ ref('int_people_by_day') }}
union all
select as_of, is_now, one_id, 'lifecycle_aum' as track, coalesce(lifecycle_aum, 'UNKNOWN') as stage,
  coalesce(home_branch, 'UNKNOWN') as branch_id, aum_eod, is_mau
from {{ ref('int_people_by_day') }}
union all
select as_of, is_now, one_id, 'lifecycle_shop' as track, coalesce(lifecycle_shop, 'UNKNOWN') as stage,
  coalesce(home_branch, 'UNKNOWN') as branch_id, aum_eod, is_mau
from {{ ref('int_people_by_day') }}
