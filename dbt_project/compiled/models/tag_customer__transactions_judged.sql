-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_transactions_judged.
{{ config(materialized='ephemeral') }}

with attributed as (
    select owners.one_id, facts.*
    from {{ ref('int_transactions_judged') }} facts
    join {{ ref('int_account_owners') }} owners
        on owners.source = facts.source and owners.account_id = facts.account_id
    where owners.one_id is not null
)

select
    one_id,
    -- days_since_active_txn: 距最近主动交易天数 · Days since active transaction (tags/registry/behaviour.yml)
    min(case when (is_active) and transacted_on > date_sub({{ business_date() }}, 1095) then datediff({{ business_date() }}, transacted_on) end) as days_since_active_txn,
    -- active_txn_count_90d: 近90天主动交易笔数 · Active transactions, 90 days (tags/registry/behaviour.yml)
    count(case when (is_active) and transacted_on > date_sub({{ business_date() }}, 90) then 1 end) as active_txn_count_90d,
    -- active_txn_amount_90d: 近90天主动交易额 · Active transaction amount, 90 days (tags/registry/behaviour.yml)
    sum(case when (is_active and direction = 'debit') and transacted_on > date_sub({{ business_date() }}, 90) then amount_base end) as active_txn_amount_90d,
    -- top_spend_category_90d: 消费偏好 · Top spend category, 90 days (tags/registry/behaviour.yml)
    case when count(case when (transaction_type = 'PURCHASE' and card_id is not null and direction = 'debit' and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 90) then merchant_group end) >= (3) then element_at(transform(array(array_sort(collect_list(case when (transaction_type = 'PURCHASE' and card_id is not null and direction = 'debit' and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 90) and (merchant_group) is not null then struct(merchant_group as value, cast(coalesce(cast(amount_base as decimal(24,6)), case when (amount_base) > 0 then 999999999999999999 when (amount_base) < 0 then -999999999999999999 else 0 end) as decimal(24,6)) as weight) end))), entries -> case when size(entries) > 0 then element_at(transform(array(filter(sequence(1, size(entries)), at -> at = size(entries) or element_at(entries, at).value <> element_at(entries, at + 1).value)), ends -> array_max(transform(sequence(1, size(ends)), run -> struct(aggregate(slice(entries, coalesce(get(ends, run - 2), 0) + 1, element_at(ends, run) - coalesce(get(ends, run - 2), 0)), cast(0 as decimal(38,6)), (total, entry) -> cast(total + entry.weight as decimal(38,6))) as weight, element_at(ends, run) - coalesce(get(ends, run - 2), 0) as row_count, -run as place, element_at(entries, element_at(ends, run)).value as value))).value), 1) end), 1) end as top_spend_category_90d,
    -- large_inflow_7d: 近7天大额流入 · Large inflow, 7 days (tags/registry/behaviour.yml)
    max((direction = 'credit' and amount_base >= 50000 and not is_reversal and transaction_type <> 'SWEEP') and transacted_on > date_sub({{ business_date() }}, 7)) as large_inflow_7d,
    -- large_outflow_7d: 近7天大额流出 · Large outflow, 7 days (tags/registry/behaviour.yml)
    max((direction = 'debit' and amount_base >= 50000 and not is_reversal and transaction_type <> 'SWEEP') and transacted_on > date_sub({{ business_date() }}, 7)) as large_outflow_7d,
    -- active_txn_days_180d: 近180天主动交易天数 · Active transaction days, 180 days (tags/registry/measures.yml)
    size(collect_set(case when (is_active) and transacted_on > date_sub({{ business_date() }}, 180) then transacted_on end)) as active_txn_days_180d,
    -- has_key_transaction_30d: 近30天重点交易 · Key transaction, 30 days (tags/registry/measures.yml)
    max((not is_reversal and ( transaction_type in ('WEALTH_BUY', 'FUND_BUY', 'LOAN_DRAW', 'HOUSEHOLD') or (direction = 'credit' and amount_base >= 1000 and transaction_type <> 'SWEEP'))) and transacted_on > date_sub({{ business_date() }}, 30)) as has_key_transaction_30d,
    -- has_school_fee_365d: 近365天学费支出 · School fees, 365 days (tags/registry/measures.yml)
    max((merchant_group = 'EDUCATION' and direction = 'debit' and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 365)) as has_school_fee_365d,
    -- has_loan_prepaid_90d: 近90天提前还款交易 · Loan prepayment, 90 days (tags/registry/measures.yml)
    max((transaction_type = 'LOAN_PREPAY' and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 90)) as has_loan_prepaid_90d,
    -- has_bill_paid_180d: 近180天缴费 · Bills or taxes paid, 180 days (tags/registry/measures.yml)
    max((transaction_type in ('HOUSEHOLD', 'TAX') and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 180)) as has_bill_paid_180d,
    -- is_payroll: 代发客户 · Payroll customer (tags/registry/value.yml)
    size(collect_set(case when (transaction_type = 'PAYROLL' and direction = 'credit' and not is_reversal and amount_base >= 500) and transacted_on >= add_months(trunc({{ business_date() }}, 'MM'), -3) and transacted_on < trunc({{ business_date() }}, 'MM') then trunc(transacted_on, 'MM') end)) >= 2 as is_payroll,
    -- payroll_avg_amount: 月均代发额 · Average monthly payroll (tags/registry/value.yml)
    sum(case when (transaction_type = 'PAYROLL' and direction = 'credit' and not is_reversal) and transacted_on >= add_months(trunc({{ business_date() }}, 'MM'), -3) and transacted_on < trunc({{ business_date() }}, 'MM') then amount_base end) / nullif(size(collect_set(case when (transaction_type = 'PAYROLL' and direction = 'credit' and not is_reversal) and transacted_on >= add_months(trunc({{ business_date() }}, 'MM'), -3) and transacted_on < trunc({{ business_date() }}, 'MM') then trunc(transacted_on, 'MM') end)), 0) as payroll_avg_amount,
    -- has_repeat_purchase_180d: 近180天复购 · Repeat purchase, 180 days (tags/registry/value.yml)
    size(collect_set(case when (transaction_type in ('WEALTH_BUY', 'FUND_BUY') and not is_reversal) and transacted_on > date_sub({{ business_date() }}, 180) then transacted_on end)) >= 2 as has_repeat_purchase_180d
from attributed
where transacted_on >= least(date_sub({{ business_date() }}, 1094), add_months(trunc({{ business_date() }}, 'MM'), -3))
group by one_id
