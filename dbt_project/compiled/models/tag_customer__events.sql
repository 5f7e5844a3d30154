-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.events.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('stg_trusted__events') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- is_mau: 当月活跃 · Active this month (tags/registry/behaviour.yml)
    max((event_name = 'login' and is_success and occurred_on >= trunc({{ business_date() }}, 'MM')) and occurred_on > date_sub({{ business_date() }}, 31)) as is_mau,
    -- is_dau: 当日活跃 · Active today (tags/registry/behaviour.yml)
    max((event_name = 'login' and is_success) and occurred_on > date_sub({{ business_date() }}, 1)) as is_dau,
    -- login_days_30d: 近30天登录天数 · Login days, 30 days (tags/registry/behaviour.yml)
    size(collect_set(case when (event_name = 'login' and is_success) and occurred_on > date_sub({{ business_date() }}, 30) then occurred_on end)) as login_days_30d,
    -- days_since_login: 距最近登录天数 · Days since login (tags/registry/behaviour.yml)
    min(case when (event_name = 'login' and is_success) and occurred_on > date_sub({{ business_date() }}, 730) then datediff({{ business_date() }}, occurred_on) end) as days_since_login,
    -- wealth_view_count_7d: 近7天理财浏览次数 · Wealth views, 7 days (tags/registry/behaviour.yml)
    count(case when (event_name = 'wealth_detail_view') and occurred_on > date_sub({{ business_date() }}, 7) then 1 end) as wealth_view_count_7d,
    -- top_interest_30d: 近30天最感兴趣 · Top interest, 30 days (tags/registry/interest.yml)
    case when count(case when (endswith(event_name, '_view')) and occurred_on > date_sub({{ business_date() }}, 30) then coalesce(topic, item_class) end) >= (3) then element_at(transform(array(array_sort(collect_list(case when (endswith(event_name, '_view')) and occurred_on > date_sub({{ business_date() }}, 30) and (coalesce(topic, item_class)) is not null then struct(coalesce(topic, item_class) as value, (occurred_at) is not null as has_1, occurred_at as order_1) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, element_at(entries, element_at(ends, run)).has_1 as has_1, element_at(entries, element_at(ends, run)).order_1 as order_1, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) end as top_interest_30d,
    -- content_view_count_30d: 近30天内容浏览次数 · Content views, 30 days (tags/registry/interest.yml)
    count(case when (event_name = 'content_view') and occurred_on > date_sub({{ business_date() }}, 30) then 1 end) as content_view_count_30d,
    -- preferred_hour_band: 偏好时段 · Preferred hours (tags/registry/interest.yml)
    case when count(case when occurred_on > date_sub({{ business_date() }}, 90) then case when hour(occurred_at) < 6 then '00-06' when hour(occurred_at) < 9 then '06-09' when hour(occurred_at) < 12 then '09-12' when hour(occurred_at) < 14 then '12-14' when hour(occurred_at) < 18 then '14-18' when hour(occurred_at) < 21 then '18-21' else '21-24' end end) >= (3) then element_at(transform(array(array_sort(collect_list(case when occurred_on > date_sub({{ business_date() }}, 90) and (case when hour(occurred_at) < 6 then '00-06' when hour(occurred_at) < 9 then '06-09' when hour(occurred_at) < 12 then '09-12' when hour(occurred_at) < 14 then '12-14' when hour(occurred_at) < 18 then '14-18' when hour(occurred_at) < 21 then '18-21' else '21-24' end) is not null then struct(case when hour(occurred_at) < 6 then '00-06' when hour(occurred_at) < 9 then '06-09' when hour(occurred_at) < 12 then '09-12' when hour(occurred_at) < 14 then '12-14' when hour(occurred_at) < 18 then '14-18' when hour(occurred_at) < 21 then '18-21' else '21-24' end as value, (occurred_at) is not null as has_1, occurred_at as order_1) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, element_at(entries, element_at(ends, run)).has_1 as has_1, element_at(entries, element_at(ends, run)).order_1 as order_1, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) end as preferred_hour_band,
    -- preferred_device: 偏好设备 · Preferred device (tags/registry/interest.yml)
    case when count(case when occurred_on > date_sub({{ business_date() }}, 90) then device_type end) >= (3) then element_at(transform(array(array_sort(collect_list(case when occurred_on > date_sub({{ business_date() }}, 90) and (device_type) is not null then struct(device_type as value, (occurred_at) is not null as has_1, occurred_at as order_1) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, element_at(entries, element_at(ends, run)).has_1 as has_1, element_at(entries, element_at(ends, run)).order_1 as order_1, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) end as preferred_device,
    -- search_topics_30d: 近30天搜索主题 · Search topics, 30 days (tags/registry/interest.yml)
    array_sort(collect_set(case when (endswith(event_name, '_search')) and occurred_on > date_sub({{ business_date() }}, 30) then topic end)) as search_topics_30d,
    -- wallet_bind_count_30d: 近30天绑卡次数 · Wallet bindings, 30 days (tags/registry/measures.yml)
    count(case when (event_name = 'wallet_bind') and occurred_on > date_sub({{ business_date() }}, 30) then 1 end) as wallet_bind_count_30d,
    -- has_activity_180d: 近180天参与活动 · Activity, 180 days (tags/registry/measures.yml)
    max((event_name in ('activity_view', 'activity_join', 'activity_done')) and occurred_on > date_sub({{ business_date() }}, 180)) as has_activity_180d
from attributed
where occurred_on >= date_sub({{ business_date() }}, 729)
group by one_id
