-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select 'app_login' as retention, '登录留存' as name_zh, 'Logging in again' as name_en, 'login' as first_event, 'login' as back_event, cast(1 as int) as day_number, cast(3 as int) as months
union all
select 'app_login' as retention, '登录留存' as name_zh, 'Logging in again' as name_en, 'login' as first_event, 'login' as back_event, cast(7 as int) as day_number, cast(3 as int) as months
union all
select 'app_login' as retention, '登录留存' as name_zh, 'Logging in again' as name_en, 'login' as first_event, 'login' as back_event, cast(30 as int) as day_number, cast(3 as int) as months
