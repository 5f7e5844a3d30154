-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select 'wealth_purchase' as funnel, '理财购买' as name_zh, 'Wealth purchase' as name_en, cast(1 as int) as step, 'wealth_detail_view' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'wealth_purchase' as funnel, '理财购买' as name_zh, 'Wealth purchase' as name_en, cast(2 as int) as step, 'wealth_click_buy' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'wealth_purchase' as funnel, '理财购买' as name_zh, 'Wealth purchase' as name_en, cast(3 as int) as step, 'wealth_risk_assess' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'wealth_purchase' as funnel, '理财购买' as name_zh, 'Wealth purchase' as name_en, cast(4 as int) as step, 'wealth_password' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'wealth_purchase' as funnel, '理财购买' as name_zh, 'Wealth purchase' as name_en, cast(5 as int) as step, 'wealth_purchase_ok' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'activity' as funnel, '活动参与' as name_zh, 'Taking part in an activity' as name_en, cast(1 as int) as step, 'activity_view' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'activity' as funnel, '活动参与' as name_zh, 'Taking part in an activity' as name_en, cast(2 as int) as step, 'activity_join' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
union all
select 'activity' as funnel, '活动参与' as name_zh, 'Taking part in an activity' as name_en, cast(3 as int) as step, 'activity_done' as event_name, cast(604800000000 as bigint) as within_micros, cast(30 as int) as days
