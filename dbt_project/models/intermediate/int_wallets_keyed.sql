{{ config(materialized='ephemeral') }}
select
    cards.one_id,
    wallets.source,
    wallets.from_key as card_id,
    wallets.to_source,
    wallets.to_key as wallet_id,
    wallets.started_on,
    wallets.ended_on,
    (wallets.started_on is null or wallets.started_on <= {{ business_date() }})
        and (wallets.ended_on is null or wallets.ended_on > {{ business_date() }}) as is_bound
from {{ ref('stg_trusted__relationships') }} wallets
join {{ ref('int_cards_keyed') }} cards
    on cards.source = wallets.from_source and cards.card_id = wallets.from_key
where wallets.relationship_type = 'card_wallet'
