{{ config(materialized='ephemeral') }}
-- Merged OneIDs and the one that counts instead. Who has a number that is somebody's on the day of the map needs none: as of a past
-- day, what was merged later is not merged yet.
select
    redirects.from_one_id,
    redirects.to_one_id
from {{ source('identity', 'redirects') }} redirects
left anti join {{ ref('int_profiles_keyed') }} profiles
    on profiles.one_id = redirects.from_one_id
