{{ config(materialized='ephemeral') }}
-- The deepest step of the last 7 days that no purchase came after. The purchase ends the funnel, so one of the
-- same instant counts as after.
with steps as (
    select
        people.one_id,
        events.occurred_at,
        events.event_name,
        case events.event_name
            when 'wealth_detail_view' then 1
            when 'wealth_click_buy' then 2
            when 'wealth_risk_assess' then 3
            when 'wealth_password' then 4
        end as depth
    from {{ ref('stg_trusted__events') }} events
    join {{ ref('int_profiles_keyed') }} people
        on people.source = events.source and people.source_key = events.source_key
    where events.occurred_on > date_sub({{ business_date() }}, 7)
        and events.event_name in (
            'wealth_detail_view', 'wealth_click_buy', 'wealth_risk_assess', 'wealth_password', 'wealth_purchase_ok'
        )
),

purchases as (
    select
        *,
        max(case when event_name = 'wealth_purchase_ok' then occurred_at end) over (partition by one_id) as bought_at
    from steps
)

select
    one_id,
    element_at(array('VIEW', 'CLICK_BUY', 'ASSESS', 'PASSWORD'), max(depth)) as broken_at
from purchases
where depth is not null
    and (bought_at is null or occurred_at > bought_at)
group by one_id
