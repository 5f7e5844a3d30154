{{ config(materialized='ephemeral') }}
-- A span's balance times the days it shares with a month is what daily rows would sum to, without the daily rows;
-- days before the first balance count 0 because the month's calendar days divide.
with counted as (
    select explode(array(0, 1, 2, 3, 4, 5, 6)) as months_back
),

months as (
    select
        months_back,
        add_months(trunc({{ business_date() }}, 'MM'), -months_back) as first_day,
        case
            when months_back = 0 then date_add({{ business_date() }}, 1)
            else add_months(trunc({{ business_date() }}, 'MM'), 1 - months_back)
        end as end_day
    from counted
),

assets as (
    select one_id, starts_on, ends_on, balance_base
    from {{ ref('int_balance_spans') }}
    where is_aum and one_id is not null
),

shares as (
    select
        assets.one_id,
        months.months_back,
        months.first_day,
        months.end_day,
        assets.balance_base
            * datediff(least(assets.ends_on, months.end_day), greatest(assets.starts_on, months.first_day)) as balance_days
    from assets
    join months
        on assets.starts_on < months.end_day and assets.ends_on > months.first_day

    union all

    -- a month before the first balance counts 0: the highest of six months is then not one of debt
    select
        people.one_id,
        months.months_back,
        months.first_day,
        months.end_day,
        cast(0 as decimal(18, 2)) as balance_days
    from (select distinct one_id from assets) people
    cross join months
)

select
    one_id,
    months_back,
    cast(sum(balance_days) / datediff(end_day, first_day) as decimal(18, 2)) as aum_average
from shares
group by one_id, months_back, first_day, end_day
