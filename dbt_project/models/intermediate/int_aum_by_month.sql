{{ config(materialized='ephemeral') }}
-- A span's balance times the days it shares with a month is what daily rows would sum to, without the daily rows;
-- days before the first balance count 0 because the month's calendar days divide.
with months as (
{%- for back in range(0, 7) %}
    select
        {{ back }} as months_back,
        {{ month_start(back) }} as first_day,
        {{ "date_add(" ~ business_date() ~ ", 1)" if back == 0 else month_start(back - 1) }} as end_day
    {{ "union all" if not loop.last }}
{%- endfor %}
)

select
    spans.one_id,
    months.months_back,
    cast(
        sum(spans.balance_base * {{ shared_days('spans.starts_on', 'spans.ends_on', 'months.first_day', 'months.end_day') }})
        / datediff(months.end_day, months.first_day)
        as decimal(18, 2)
    ) as aum_average
from {{ ref('int_balance_spans') }} spans
join months
    on spans.starts_on < months.end_day and spans.ends_on > months.first_day
where spans.is_aum and spans.one_id is not null
group by spans.one_id, months.months_back, months.first_day, months.end_day
