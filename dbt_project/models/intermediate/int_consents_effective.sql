{{ config(materialized='ephemeral') }}
-- What a person decided last, per purpose and channel, over all their profiles; a refusal or complaint that came
-- back as a receipt is a decision too. On the same instant a refusal wins.
with decisions as (
    select
        people.one_id,
        consents.purpose,
        consents.channel,
        consents.decision,
        consents.decided_at,
        consents.expires_on
    from {{ ref('stg_trusted__consents') }} consents
    join {{ ref('int_profiles_keyed') }} people
        on people.source = consents.source and people.source_key = consents.source_key

    union all

    select one_id, 'marketing', channel, 'REFUSE', refused_at, cast(null as date)
    from {{ ref('int_contacts_keyed') }}
    where refused_at is not null
)

select
    one_id,
    purpose,
    channel,
    max_by(decision, struct(decided_at, decision)) as decision,
    max_by(expires_on, struct(decided_at, decision)) as expires_on,
    max(decided_at) as decided_at
from decisions
group by one_id, purpose, channel
