{{ config(materialized='ephemeral', tags=['mart']) }}
-- Both snapshots by OneID. Whose number became another's is MERGED, who has no tags any more is GONE, who had none is NEW.
-- All small moves are the one row OTHER, so that every total is whole and a small one hides no large one of the same stage.
with days as (
    select max(case when not is_now then as_of end) as compared_on, max(case when is_now then as_of end) as as_of
    from {{ ref('int_people_by_day') }}
),

people as (
    select
        coalesce(earlier.track, later.track) as track,
        coalesce(earlier.stage, 'NEW') as from_stage,
        case
            when later.one_id is not null then later.stage
            when redirects.from_one_id is not null then 'MERGED'
            else 'GONE'
        end as to_stage,
        earlier.one_id as earlier_one_id,
        later.one_id as later_one_id,
        earlier.aum_eod as earlier_aum,
        later.aum_eod as later_aum
    from (select * from {{ ref('int_people_stages') }} where not is_now) earlier
    full outer join (select * from {{ ref('int_people_stages') }} where is_now) later
        on later.track = earlier.track and later.one_id = earlier.one_id
    left join {{ ref('int_redirects') }} redirects
        on redirects.from_one_id = earlier.one_id
),

moves as (
    select
        *,
        coalesce(sum(people_count) over (
            partition by track order by people_count, from_stage, to_stage rows between unbounded preceding and 1 preceding
        ), 0) as smaller_count
    from (select track, from_stage, to_stage, count(*) as people_count from people group by track, from_stage, to_stage) sizes
),

placed as (
    select
        people.track,
        case when {{ is_small_group('moves.people_count', 'moves.smaller_count') }} then 'OTHER' else people.from_stage end as from_stage,
        case when {{ is_small_group('moves.people_count', 'moves.smaller_count') }} then 'OTHER' else people.to_stage end as to_stage,
        people.earlier_one_id,
        people.later_one_id,
        people.earlier_aum,
        people.later_aum
    from people
    join moves
        on moves.track = people.track and moves.from_stage = people.from_stage and moves.to_stage = people.to_stage
),

counts as (
    select
        track,
        from_stage,
        to_stage,
        cast(count(*) as bigint) as people_count,
        cast(count(earlier_one_id) as bigint) as earlier_people_count,
        cast(count(later_one_id) as bigint) as later_people_count,
        cast(coalesce(sum(earlier_aum), 0) as decimal(24, 2)) as earlier_aum,
        cast(coalesce(sum(later_aum), 0) as decimal(24, 2)) as later_aum
    from placed
    group by track, from_stage, to_stage
)

select
    days.as_of,
    days.compared_on,
    counts.*
from counts
cross join days
where days.compared_on is not null
    and counts.people_count >= {{ least_people() }}
