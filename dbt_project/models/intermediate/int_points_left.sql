{{ config(materialized='ephemeral') }}
-- What was taken (spent, expired, corrected) is taken from the points that expire first; what is taken beyond all of them is a debt.
with entries as (
    select people.one_id, points.source, points.entry_id, points.points, points.booked_on, points.expires_on
    from {{ ref('stg_trusted__points') }} points
    join {{ ref('int_profiles_keyed') }} people
        on people.source = points.source and people.source_key = points.source_key
),

taken as (
    select
        one_id,
        source,
        sum(case when points < 0 then -points else 0 end) as points_taken,
        sum(case when points > 0 then points else 0 end) as points_given
    from entries
    group by one_id, source
),

given as (
    select
        entries.one_id,
        entries.source,
        entries.entry_id,
        entries.points,
        entries.expires_on,
        taken.points_taken,
        sum(entries.points) over (
            partition by entries.one_id, entries.source
            order by coalesce(entries.expires_on, date'9999-12-31'), entries.booked_on, entries.entry_id
            rows between unbounded preceding and current row
        ) as points_so_far
    from entries
    join taken
        on taken.one_id = entries.one_id and taken.source = entries.source
    where entries.points > 0
)

select
    one_id,
    source,
    entry_id,
    expires_on,
    cast(greatest(0, least(points, points_so_far - points_taken)) as bigint) as points_left
from given

union all

select
    one_id,
    source,
    '' as entry_id,
    cast(null as date) as expires_on,
    cast(points_given - points_taken as bigint) as points_left
from taken
where points_taken > points_given
