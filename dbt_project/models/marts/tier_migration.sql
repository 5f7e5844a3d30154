{{ config(materialized='table', tags=['mart']) }}
select
    as_of,
    compared_on,
    from_stage as from_tier,
    to_stage as to_tier,
    people_count,
    earlier_people_count,
    later_people_count,
    earlier_aum,
    later_aum
from {{ ref('int_stage_migrations') }}
where track = 'aum_tier'
