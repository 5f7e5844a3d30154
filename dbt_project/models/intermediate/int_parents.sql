{{ config(materialized='ephemeral') }}
-- A child of somebody, or somebody's parent, said of the two ends of a relationship between persons.
with ends as (
    select
        case when role = 'child' then to_source else from_source end as source,
        case when role = 'child' then to_key else from_key end as source_key
    from {{ ref('stg_trusted__relationships') }}
    where role in ('child', 'parent')
        and (started_on is null or started_on <= {{ business_date() }})
        and (ended_on is null or ended_on > {{ business_date() }})
)

select distinct people.one_id
from ends
join {{ ref('int_profiles_keyed') }} people
    on people.source = ends.source and people.source_key = ends.source_key
