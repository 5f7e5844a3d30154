{{ config(materialized='ephemeral') }}
-- What suppression would say to an audience of marketing that is used on the day after D, a row per channel.
with channels as (
    select
        one_id,
        explode(array(
            named_struct('channel', 'SMS', 'is_granted', allowed_marketing_sms_1d, 'is_usable', usable_sms),
            named_struct('channel', 'PUSH', 'is_granted', allowed_marketing_push_1d, 'is_usable', usable_push),
            named_struct('channel', 'WECHAT', 'is_granted', allowed_marketing_wechat_1d, 'is_usable', usable_wechat),
            named_struct('channel', 'WECOM', 'is_granted', allowed_marketing_wecom_1d, 'is_usable', usable_wecom),
            named_struct('channel', 'INAPP', 'is_granted', allowed_marketing_inapp_1d, 'is_usable', usable_inapp),
            named_struct('channel', 'CALL', 'is_granted', allowed_marketing_call_1d, 'is_usable', usable_call),
            named_struct('channel', 'EMAIL', 'is_granted', allowed_marketing_email_1d, 'is_usable', usable_email),
            named_struct('channel', 'BRANCH', 'is_granted', allowed_marketing_branch_1d, 'is_usable', usable_branch)
        )) as reach
    from {{ ref('int_contact_facts') }}
)

select
    one_id,
    reach.channel as channel,
    reach.is_granted as is_granted,
    reach.is_usable as is_usable
from channels
