{{ config(materialized='ephemeral') }}
select
    people.one_id,
    managers.source,
    managers.from_source,
    managers.from_key,
    managers.to_source,
    managers.to_key as employee_id,
    managers.role,
    managers.started_on
from {{ ref('stg_trusted__relationships') }} managers
join {{ ref('int_profiles_keyed') }} people
    on people.source = managers.from_source and people.source_key = managers.from_key
where managers.relationship_type = 'person_manager'
    and (managers.started_on is null or managers.started_on <= {{ business_date() }})
    and (managers.ended_on is null or managers.ended_on > {{ business_date() }})
