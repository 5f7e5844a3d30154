{{ config(materialized='table') }}
-- Today's map of profiles to OneIDs (for a past day, that of the day where it is asked for), without anonymous ones: they have no tag row until they become known.
select
    memberships.source,
    memberships.source_key,
    memberships.one_id,
    one_ids.kind
from {{ source('identity', 'memberships') }} memberships
join {{ source('identity', 'one_ids') }} one_ids
    on one_ids.one_id = memberships.one_id
where memberships.valid_from <= {{ map_day() }}
    and (memberships.valid_to is null or memberships.valid_to > {{ map_day() }})
    and one_ids.kind in ('customer', 'prospect')
