{{ config(materialized='table', tags=['mart']) }}
with steps as (
    select
        funnels.funnel,
        funnels.name_zh,
        funnels.name_en,
        funnels.step,
        funnels.event_name,
        cast(count(depths.one_id) as bigint) as people_count
    from {{ ref('int_event_funnels') }} funnels
    left join {{ ref('int_funnel_depths') }} depths
        on depths.funnel = funnels.funnel and depths.depth >= funnels.step
    group by funnels.funnel, funnels.name_zh, funnels.name_en, funnels.step, funnels.event_name
),

compared as (
    select
        *,
        lag(people_count) over (partition by funnel order by step) as before_count,
        max(people_count) over (partition by funnel) as started_count
    from steps
)

select
    {{ business_date() }} as as_of,
    funnel,
    step,
    event_name,
    name_zh,
    name_en,
    started_count,
    people_count,
    cast(cast(people_count as decimal(18, 0)) / nullif(cast(before_count as decimal(18, 0)), 0) as decimal(18, 6)) as step_ratio,
    cast(cast(people_count as decimal(18, 0)) / cast(started_count as decimal(18, 0)) as decimal(18, 6)) as started_ratio
from compared
where started_count >= {{ least_people() }}
