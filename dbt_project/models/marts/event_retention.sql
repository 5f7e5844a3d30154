{{ config(materialized='table', tags=['mart']) }}
-- The first event is the first that is kept. A day after it counts once it is over.
with acts as (
    select people.one_id, events.event_name, events.occurred_on
    from {{ ref('stg_trusted__events') }} events
    join {{ ref('int_profiles_keyed') }} people
        on people.source = events.source and people.source_key = events.source_key
    group by people.one_id, events.event_name, events.occurred_on
),

firsts as (
    select rules.retention, rules.back_event, acts.one_id, min(acts.occurred_on) as first_on
    from (select distinct retention, first_event, back_event, months from {{ ref('int_event_retentions') }}) rules
    join acts
        on acts.event_name = rules.first_event
    group by rules.retention, rules.back_event, rules.months, acts.one_id
    having min(acts.occurred_on) >= add_months(trunc({{ business_date() }}, 'MM'), -rules.months)
),

returns as (
    select firsts.retention, firsts.one_id, datediff(acts.occurred_on, firsts.first_on) as gap_days
    from firsts
    join acts
        on acts.one_id = firsts.one_id and acts.event_name = firsts.back_event and acts.occurred_on > firsts.first_on
),

marks as (
    select
        rules.retention,
        rules.name_zh,
        rules.name_en,
        trunc(firsts.first_on, 'MM') as cohort_on,
        rules.day_number,
        firsts.one_id,
        max(case when returns.gap_days = rules.day_number then 1 else 0 end) as is_back_on,
        max(case when returns.gap_days <= rules.day_number then 1 else 0 end) as is_back_within
    from firsts
    join {{ ref('int_event_retentions') }} rules
        on rules.retention = firsts.retention
    left join returns
        on returns.retention = firsts.retention and returns.one_id = firsts.one_id
    where date_add(firsts.first_on, rules.day_number) <= {{ business_date() }}
    group by rules.retention, rules.name_zh, rules.name_en, firsts.first_on, rules.day_number, firsts.one_id
),

counts as (
    select
        retention,
        name_zh,
        name_en,
        cohort_on,
        day_number,
        cast(count(*) as bigint) as people_count,
        cast(sum(is_back_on) as bigint) as back_count,
        cast(sum(is_back_within) as bigint) as back_within_count
    from marks
    group by retention, name_zh, name_en, cohort_on, day_number
)

select
    {{ business_date() }} as as_of,
    retention,
    cohort_on,
    day_number,
    name_zh,
    name_en,
    people_count,
    back_count,
    back_within_count,
    cast(cast(back_count as decimal(18, 0)) / cast(people_count as decimal(18, 0)) as decimal(18, 6)) as back_ratio,
    cast(cast(back_within_count as decimal(18, 0)) / cast(people_count as decimal(18, 0)) as decimal(18, 6)) as back_within_ratio
from counts
where people_count >= {{ least_people() }}
