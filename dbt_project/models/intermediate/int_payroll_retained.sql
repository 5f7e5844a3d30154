{{ config(materialized='ephemeral') }}
-- Assets at the end of the day before the latest payroll that is 7 days old, and 7 days after it; without a balance they are 0.
with latest as (
    select one_id, max(paid_on) as paid_on
    from {{ ref('int_payroll_days') }}
    where paid_on <= date_sub({{ business_date() }}, 7)
    group by one_id
),

payrolls as (
    select days.one_id, days.paid_on, days.amount_base
    from {{ ref('int_payroll_days') }} days
    join latest
        on latest.one_id = days.one_id and latest.paid_on = days.paid_on
),

changes as (
    select
        payrolls.one_id,
        sum(
            case when spans.starts_on <= date_add(payrolls.paid_on, 7) and spans.ends_on > date_add(payrolls.paid_on, 7)
                then spans.balance_base else 0 end
            - case when spans.starts_on <= date_sub(payrolls.paid_on, 1) and spans.ends_on > date_sub(payrolls.paid_on, 1)
                then spans.balance_base else 0 end
        ) as difference
    from payrolls
    join {{ ref('int_balance_spans') }} spans
        on spans.one_id = payrolls.one_id
    where spans.is_aum
    group by payrolls.one_id
)

select
    payrolls.one_id,
    payrolls.paid_on,
    payrolls.amount_base,
    -- `least` leaves out nulls: of wages of nothing it would say that all was kept
    case when payrolls.amount_base <> 0 then cast(
        greatest(0, least(1, coalesce(cast(changes.difference as decimal(26, 6)), 0) / cast(payrolls.amount_base as decimal(26, 6))))
        as decimal(18, 6)
    ) end as retained_ratio
from payrolls
left join changes
    on changes.one_id = payrolls.one_id
