{{ config(materialized='ephemeral') }}
-- An order counts when it sells something: a return takes back, a cancelled one never was.
select
    source,
    order_id,
    source_key,
    ordered_on,
    not coalesce(is_return, false)
        and coalesce(status, 'completed') not in ('cancelled', 'returned') as is_sale
from {{ ref('stg_trusted__orders') }}
where source_key is not null
