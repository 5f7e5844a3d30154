{{ config(materialized='ephemeral') }}
-- The sex of the golden record; where no record of a person states one, what their national id says, of several profiles
-- the one registered last.
select
    people.one_id,
    coalesce(golden.gender, described.gender_by_id) as gender
from {{ ref('int_people') }} people
left join {{ source('identity', 'golden_records') }} golden
    on golden.one_id = people.one_id
    and golden.valid_from <= {{ business_date() }}
    and (golden.valid_to is null or golden.valid_to > {{ business_date() }})
left join (
    select
        one_id,
        max_by(
            gender_by_id,
            case when gender_by_id is not null
                then struct(coalesce(registered_on, date'0001-01-01') as registered_on, source, source_key)
            end
        ) as gender_by_id
    from {{ ref('int_profiles_described') }}
    group by one_id
) described
    on described.one_id = people.one_id
