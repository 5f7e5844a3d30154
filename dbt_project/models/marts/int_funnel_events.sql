{{ config(materialized='ephemeral', tags=['mart']) }}
-- The days of a funnel are those in which it begins, and all its steps follow the first.
select
    funnels.funnel,
    funnels.step,
    funnels.within_micros,
    people.one_id,
    unix_micros(events.occurred_at) as micros
from {{ ref('stg_trusted__events') }} events
join {{ ref('int_event_funnels') }} funnels
    on funnels.event_name = events.event_name
join {{ ref('int_profiles_keyed') }} people
    on people.source = events.source and people.source_key = events.source_key
where events.occurred_on > date_sub({{ business_date() }}, funnels.days)
