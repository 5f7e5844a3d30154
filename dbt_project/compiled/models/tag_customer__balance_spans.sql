-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_balance_spans.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_balance_spans') }}
    where one_id is not null
)

select
    one_id,
    -- product_classes_held: 持有产品大类 · Product classes held (set) (tags/registry/measures.yml)
    array_sort(collect_set(case when (is_current and balance_base > 0) then product_class end)) as product_classes_held,
    -- aum_eod: 时点AUM · AUM at D (tags/registry/value.yml)
    sum(case when (is_current and is_aum) then balance_base end) as aum_eod,
    -- demand_balance: 活期余额 · Demand balance (tags/registry/value.yml)
    sum(case when (is_current and product_class = 'demand') then balance_base end) as demand_balance,
    -- time_deposit_balance: 定期余额 · Time deposits (tags/registry/value.yml)
    sum(case when (is_current and product_class = 'time') then balance_base end) as time_deposit_balance,
    -- wealth_balance: 理财持仓 · Wealth holdings (tags/registry/value.yml)
    sum(case when (is_current and product_class = 'wealth') then balance_base end) as wealth_balance
from attributed
group by one_id
