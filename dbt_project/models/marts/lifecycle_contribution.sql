{{ config(materialized='table', tags=['mart']) }}
-- Small stages, and in each stage small branches, are the row OTHER, so that every total is whole.
with people as (
    select *
    from {{ ref('int_people_stages') }}
    where is_now and track <> 'aum_tier'
),

stages as (
    select
        *,
        coalesce(sum(people_count) over (
            partition by track order by people_count, stage rows between unbounded preceding and 1 preceding
        ), 0) as smaller_count
    from (select track, stage, count(*) as people_count from people group by track, stage) sizes
),

staged as (
    select
        people.track,
        case when {{ is_small_group('stages.people_count', 'stages.smaller_count') }} then 'OTHER' else people.stage end as stage,
        people.branch_id,
        people.aum_eod,
        people.is_mau
    from people
    join stages
        on stages.track = people.track and stages.stage = people.stage
),

branches as (
    select
        *,
        coalesce(sum(people_count) over (
            partition by track, stage order by people_count, branch_id rows between unbounded preceding and 1 preceding
        ), 0) as smaller_count
    from (select track, stage, branch_id, count(*) as people_count from staged group by track, stage, branch_id) sizes
),

placed as (
    select
        staged.track,
        staged.stage,
        case when {{ is_small_group('branches.people_count', 'branches.smaller_count') }} then 'OTHER' else staged.branch_id end as branch_id,
        staged.aum_eod,
        staged.is_mau
    from staged
    join branches
        on branches.track = staged.track and branches.stage = staged.stage and branches.branch_id = staged.branch_id
),

counts as (
    select
        track,
        stage,
        branch_id,
        cast(count(*) as bigint) as people_count,
        cast(count(case when is_mau then 1 end) as bigint) as mau_count,
        cast(coalesce(sum(aum_eod), 0) as decimal(24, 2)) as aum
    from placed
    group by track, stage, branch_id
),

wholes as (
    select
        track,
        cast(sum(people_count) as decimal(18, 0)) as people_count,
        cast(sum(mau_count) as decimal(18, 0)) as mau_count,
        cast(sum(aum) as decimal(24, 2)) as aum
    from counts
    group by track
)

select
    {{ business_date() }} as as_of,
    counts.track,
    counts.stage,
    counts.branch_id,
    counts.people_count,
    counts.mau_count,
    counts.aum,
    cast(cast(counts.people_count as decimal(18, 0)) / wholes.people_count as decimal(18, 6)) as people_ratio,
    cast(cast(counts.mau_count as decimal(18, 0)) / nullif(wholes.mau_count, 0) as decimal(18, 6)) as mau_ratio,
    cast(counts.aum / nullif(wholes.aum, 0) as decimal(18, 6)) as aum_ratio
from counts
join wholes
    on wholes.track = counts.track
where counts.people_count >= {{ least_people() }}
