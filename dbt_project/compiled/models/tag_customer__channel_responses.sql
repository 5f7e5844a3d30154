-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_channel_responses.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_channel_responses') }}
    where one_id is not null
)

select
    one_id,
    -- channel_habit: 渠道习惯 · Channel habit (tags/registry/behaviour.yml)
    max_by(channel, case when (response_count > 0) and channel is not null then struct(case when channel = 'WECHAT' and unopened_before >= 2 then 1 else 0 end, cast(response_count + 1 as decimal(26,6)) / cast(delivered_count + 20 as decimal(26,6)), responded_at, find_in_set(channel, 'WECOM,WECHAT,SMS,PUSH,INAPP,EMAIL,CALL,BRANCH'), one_id, channel) end) as channel_habit
from attributed
group by one_id
