-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select
  tags.as_of,
  tags.as_of = {{ business_date() }} as is_now,
  tags.one_id,
  tags.kind,
  tags.aum_tier,
  tags.lifecycle_mau,
  tags.lifecycle_aum,
  tags.lifecycle_shop,
  tags.home_branch,
  tags.acquisition_channel,
  tags.acquisition_campaign,
  tags.aum_eod,
  tags.is_mau,
  tags.new_customer_day
from {{ source('tags', 'customer_tags_daily') }} tags
where tags.as_of = {{ business_date() }} or tags.as_of = {{ compared_on() }}
