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
)

select
    spans.one_id,
    months.months_back,
    cast(
        sum(
            spans.balance_base * greatest(
                0,
                datediff(least(spans.ends_on, months.end_day), greatest(spans.starts_on, months.first_day))
            )
        ) / datediff(months.end_day, months.first_day)
        as decimal(18, 2)
    ) as aum_average
from {{ ref('int_balance_spans') }} spans
join months
    on spans.starts_on < months.end_day and spans.ends_on > months.first_day
where spans.is_aum and spans.one_id is not null
group by spans.one_id, months.months_back, months.first_day, months.end_day
