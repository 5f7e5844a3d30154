{{ config(materialized='ephemeral') }}
-- Whose a product is: who holds a position in it, and who owns an account that was opened under it and is not closed.
select distinct holdings.source, holdings.product_id, owners.one_id
from {{ ref('stg_trusted__holdings') }} holdings
join {{ ref('int_account_owners') }} owners
    on owners.source = holdings.source and owners.account_id = holdings.account_id
where holdings.status = 'active'
    and holdings.product_id is not null
    and owners.one_id is not null

union

select distinct source, product_id, one_id
from {{ ref('int_account_owners') }}
where product_id is not null
    and coalesce(status, 'open') <> 'closed'
    and one_id is not null
