-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_cards_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_cards_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- card_lifecycle: 信用卡生命周期 · Card lifecycle (tags/registry/behaviour.yml)
    max_by(status, case when (card_type = 'credit') and status is not null then struct(find_in_set(status, 'CANCELLED,APPLIED,APPROVED,SLEEPING,ACTIVATED,BOUND,ACTIVE'), source, card_id) end) as card_lifecycle,
    -- has_active_card: 持有活跃卡 · Active card (tags/registry/measures.yml)
    max((status = 'ACTIVE')) as has_active_card,
    -- active_credit_card_count: 活跃信用卡张数 · Active credit cards (tags/registry/measures.yml)
    count(case when (card_type = 'credit' and status = 'ACTIVE') then 1 end) as active_credit_card_count,
    -- active_credit_card_days: 活跃信用卡发卡天数 · Days since an active credit card was issued (tags/registry/measures.yml)
    min(case when (card_type = 'credit' and status = 'ACTIVE' and issued_on <= {{ business_date() }}) then datediff({{ business_date() }}, issued_on) end) as active_credit_card_days
from attributed
group by one_id
