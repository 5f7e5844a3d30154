{{ config(materialized='ephemeral') }}
-- A card belongs to its holder; where the source names none, to the owner of the account.
select
    coalesce(people.one_id, owners.one_id) as one_id,
    cards.source,
    cards.card_id,
    cards.card_type,
    cards.status,
    cards.credit_limit,
    cards.used_amount,
    cards.days_past_due,
    cards.card_class,
    cards.issued_on
from {{ ref('stg_trusted__cards') }} cards
left join {{ ref('int_profiles_keyed') }} people
    on people.source = cards.source and people.source_key = cards.source_key
left join {{ ref('int_account_owners') }} owners
    on cards.source_key is null
    and owners.source = cards.source and owners.account_id = cards.account_id
where coalesce(people.one_id, owners.one_id) is not null
