-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_credits_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_credits_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- has_running_loan: 存续贷款 · Running loan (tags/registry/measures.yml)
    max((credit_kind = 'loan')) as has_running_loan,
    -- is_credit_delay_known: 逾期天数是否已知 · Days past due are known (tags/registry/measures.yml)
    max(case when days_past_due is null then 0 else 1 end) >= 1 as is_credit_delay_known,
    -- card_utilisation_ratio: 信用卡额度使用率 · Card utilisation (tags/registry/risk.yml)
    sum(case when (credit_kind = 'card' and credit_limit is not null) then coalesce(outstanding, 0) end) / nullif(sum(case when (credit_kind = 'card' and credit_limit is not null) then credit_limit end), 0) as card_utilisation_ratio,
    -- days_past_due: 当前逾期天数 · Days past due (tags/registry/risk.yml)
    max(days_past_due) as days_past_due,
    -- loan_class_worst: 五级分类(最差) · Worst five-class grade (tags/registry/risk.yml)
    max_by(credit_class, case when credit_class is not null then struct(find_in_set(credit_class, 'N,S,SS,D,L'), source, credit_kind, credit_id) end) as loan_class_worst,
    -- loan_balance: 贷款余额 · Loan outstanding (tags/registry/value.yml)
    sum(case when (credit_kind = 'loan') then outstanding end) as loan_balance
from attributed
group by one_id
