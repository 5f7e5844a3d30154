-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_contacts_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_contacts_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- touch_count_7d: 近7天触达次数 · Touches, 7 days (tags/registry/marketing.yml)
    count(case when (purpose = 'marketing') and touched_on > date_sub({{ business_date() }}, 7) then 1 end) as touch_count_7d,
    -- days_since_response: 距最近响应天数 · Days since response (tags/registry/marketing.yml)
    min(case when (purpose = 'marketing' and responded_on is not null) and touched_on > date_sub({{ business_date() }}, 1096) then datediff({{ business_date() }}, responded_on) end) as days_since_response,
    -- touch_count_30d: 近30天触达次数 · Touches, 30 days (tags/registry/measures.yml)
    count(case when (purpose = 'marketing') and touched_on > date_sub({{ business_date() }}, 30) then 1 end) as touch_count_30d,
    -- touch_channel_count_30d: 近30天触达渠道数 · Channels touched, 30 days (tags/registry/measures.yml)
    size(collect_set(case when (purpose = 'marketing') and touched_on > date_sub({{ business_date() }}, 30) then channel end)) as touch_channel_count_30d
from attributed
where touched_on >= date_sub({{ business_date() }}, 1095)
group by one_id
