{{ config(materialized='ephemeral') }}
-- An order counts when it sells something: a return is a document of its own that takes back, a cancelled order never was.
-- One that was sent back later was placed all the same: its lines count as bought, and its return takes them back.
select
    source,
    order_id,
    source_key,
    ordered_on,
    not coalesce(is_return, false)
        and coalesce(status, 'completed') <> 'cancelled' as is_sale
from {{ ref('stg_trusted__orders') }}
where source_key is not null
