-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select max(days.as_of) as compared_on
from {{ source('tags', 'customer_tags_daily') }} days
where days.as_of >= add_months(trunc({{ business_date() }}, 'MM'), -1)
  and days.as_of < add_months(trunc({{ business_date() }}, 'MM'), 0)
