{{ config(materialized='table', tags=['mart']) }}
select
    as_of,
    compared_on,
    track,
    from_stage,
    to_stage,
    people_count,
    earlier_people_count,
    later_people_count,
    earlier_aum,
    later_aum
from {{ ref('int_stage_migrations') }}
where track <> 'aum_tier'
