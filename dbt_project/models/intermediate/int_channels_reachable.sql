{{ config(materialized='ephemeral') }}
-- A channel is reachable when marketing there is granted by the latest word on it (the channel's own or ALL,
-- whichever is later; the channel's own on the same instant), there is an address, and it did not bounce hard.
with channels as (
    select explode(array(
        named_struct('channel', 'SMS', 'namespace', 'phone'),
        named_struct('channel', 'CALL', 'namespace', 'phone'),
        named_struct('channel', 'EMAIL', 'namespace', 'email'),
        named_struct('channel', 'PUSH', 'namespace', 'app_user_id'),
        named_struct('channel', 'INAPP', 'namespace', 'app_user_id'),
        named_struct('channel', 'WECHAT', 'namespace', 'openid'),
        named_struct('channel', 'WECOM', 'namespace', 'external_userid'),
        named_struct('channel', 'BRANCH', 'namespace', cast(null as string))
    )) as pair
),

words as (
    select
        consents.one_id,
        channels.pair.channel as channel,
        channels.pair.namespace as namespace,
        max_by(
            consents.decision,
            struct(consents.decided_at, consents.channel <> 'ALL', consents.decision)
        ) as decision,
        max_by(
            consents.expires_on,
            struct(consents.decided_at, consents.channel <> 'ALL', consents.decision)
        ) as expires_on
    from {{ ref('int_consents_effective') }} consents
    join channels
        on consents.channel = channels.pair.channel or consents.channel = 'ALL'
    where consents.purpose = 'marketing'
    group by consents.one_id, channels.pair.channel, channels.pair.namespace
),

addresses as (
    select distinct
        people.one_id,
        substring_index(observations.namespace, '@', 1) as namespace
    from {{ ref('stg_trusted__identifier_observations') }} observations
    join {{ ref('int_profiles_keyed') }} people
        on people.source = observations.source and people.source_key = observations.source_key
    where trim(observations.value) <> ''
),

bounces as (
    select one_id, channel
    from {{ ref('int_contacts_keyed') }}
    where bounced_at is not null
    group by one_id, channel
)

select
    words.one_id,
    words.channel,
    words.decision = 'GRANT'
        and (words.expires_on is null or words.expires_on > {{ business_date() }}) as is_granted,
    words.namespace is null or addresses.one_id is not null as has_address,
    bounces.one_id is not null as is_bounced
from words
left join addresses
    on addresses.one_id = words.one_id and addresses.namespace = words.namespace
left join bounces
    on bounces.one_id = words.one_id and bounces.channel = words.channel
