{{ config(materialized='table') }}
-- Today's map of profiles to OneIDs, without anonymous ones: they have no tag row until they become known.
select
    memberships.source,
    memberships.source_key,
    memberships.one_id,
    one_ids.kind
from {{ source('identity', 'memberships') }} memberships
join {{ source('identity', 'one_ids') }} one_ids
    on one_ids.one_id = memberships.one_id
where memberships.valid_to is null
    and one_ids.kind in ('customer', 'prospect')
