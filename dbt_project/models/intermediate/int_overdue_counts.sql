{{ config(materialized='ephemeral') }}
-- Of each credit the source's own count; else the due days on which a version of it said that it was late; else, where no due
-- day was ever said, the days on which penalty interest was booked on its account.
with versions as (
    select source, loan_id as credit_id, 'loan' as credit_kind, last_due_on as due_on, days_past_due
    from {{ source('trusted', 'loans') }}
    where valid_from <= {{ business_date() }}
    union all
    select source, card_id as credit_id, 'card' as credit_kind, statement_on as due_on, days_past_due
    from {{ source('trusted', 'cards') }}
    where valid_from <= {{ business_date() }}
),

counted as (
    select
        source,
        credit_kind,
        credit_id,
        max(due_on) is not null as has_due_days,
        count(distinct case
            when days_past_due >= 1 and due_on > add_months({{ business_date() }}, -12) and due_on <= {{ business_date() }} then due_on
        end) as late_count
    from versions
    group by source, credit_kind, credit_id
),

accounts as (
    select source, 'loan' as credit_kind, loan_id as credit_id, account_id, past_due_count_12m
    from {{ ref('stg_trusted__loans') }}
    union all
    select source, 'card' as credit_kind, card_id as credit_id, account_id, past_due_count_12m
    from {{ ref('stg_trusted__cards') }}
),

penalties as (
    select source, account_id, count(distinct transacted_on) as penalty_days
    from {{ ref('int_transactions_judged') }}
    where transaction_type = 'PENALTY_INTEREST'
        and not is_reversal
        and transacted_on > add_months({{ business_date() }}, -12)
    group by source, account_id
)

select
    credits.one_id,
    credits.source,
    credits.credit_kind,
    credits.credit_id,
    coalesce(
        accounts.past_due_count_12m,
        case when counted.has_due_days then counted.late_count else coalesce(penalties.penalty_days, 0) end
    ) as overdue_count
from {{ ref('int_credits_keyed') }} credits
join counted
    on counted.source = credits.source and counted.credit_kind = credits.credit_kind and counted.credit_id = credits.credit_id
join accounts
    on accounts.source = credits.source and accounts.credit_kind = credits.credit_kind and accounts.credit_id = credits.credit_id
left join penalties
    on penalties.source = accounts.source and penalties.account_id = accounts.account_id
