{{ config(materialized='ephemeral') }}
-- A control names a person, an account, or both; it restricts the person, else the account's owner. Rows closed
-- up to 400 days ago stay in sight for tags that hold their last value.
select
    coalesce(people.one_id, owners.one_id) as one_id,
    controls.source,
    controls.control_id,
    controls.control_type,
    controls.grade,
    controls.started_on,
    controls.ended_on,
    controls.valid_from,
    controls.valid_to,
    (controls.valid_to is null or controls.valid_to > {{ business_date() }})
        and controls.started_on <= {{ business_date() }}
        and (controls.ended_on is null or controls.ended_on > {{ business_date() }}) as is_in_force,
    -- the day after the last one on which we knew it to hold
    least(
        coalesce(controls.valid_to, date'9999-12-31'),
        coalesce(controls.ended_on, date'9999-12-31')
    ) as held_until
from {{ source('trusted', 'account_controls') }} controls
left join {{ ref('int_profiles_keyed') }} people
    on people.source = controls.source and people.source_key = controls.source_key
left join {{ ref('int_account_owners') }} owners
    on owners.source = controls.source and owners.account_id = controls.account_id
where controls.valid_from <= {{ business_date() }}
    and (controls.valid_to is null or controls.valid_to > date_sub({{ business_date() }}, 400))
    and controls.started_on <= {{ business_date() }}
    and coalesce(people.one_id, owners.one_id) is not null
