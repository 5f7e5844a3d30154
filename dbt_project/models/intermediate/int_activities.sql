{{ config(materialized='ephemeral') }}
-- An activity is done when it was done after (or at the instant of) the last time it was viewed or joined.
with steps as (
    select
        people.one_id,
        events.source,
        coalesce(events.item_id, '') as activity_id,
        max(case when events.event_name in ('activity_view', 'activity_join') then events.occurred_at end) as seen_at,
        max(case when events.event_name in ('activity_view', 'activity_join') then events.occurred_on end) as seen_on,
        max(case when events.event_name = 'activity_done' then events.occurred_at end) as done_at
    from {{ ref('stg_trusted__events') }} events
    join {{ ref('int_profiles_keyed') }} people
        on people.source = events.source and people.source_key = events.source_key
    where events.event_name in ('activity_view', 'activity_join', 'activity_done')
    group by people.one_id, events.source, coalesce(events.item_id, '')
)

select
    one_id,
    source,
    activity_id,
    seen_on,
    done_at is null or done_at < seen_at as is_open
from steps
where seen_at is not null
