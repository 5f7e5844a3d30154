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
    -- wallet_bind_count_30d: 近30天绑卡次数 · Wallet bindings, 30 days (tags/registry/measures.yml)
    count(case when (event_name = 'wallet_bind') and occurred_on > date_sub({{ business_date() }}, 30) then 1 end) as wallet_bind_count_30d
from attributed
where occurred_on >= date_sub({{ business_date() }}, 729)
group by one_id
