{{ config(materialized='ephemeral') }}
-- Lines know no buyer: they take the order's. A line of a cancelled order is no spending; one of a return is negative.
select
    lines.source,
    lines.order_id,
    lines.line_number,
    orders.source_key,
    lines.ordered_on,
    lines.product_id,
    lines.category,
    lines.quantity,
    coalesce(lines.amount_base, lines.amount) as amount_base,
    coalesce(orders.is_return, false) or lines.quantity < 0 as is_return
from {{ ref('stg_trusted__order_lines') }} lines
join {{ ref('stg_trusted__orders') }} orders
    on orders.source = lines.source and orders.order_id = lines.order_id
where orders.source_key is not null
    and coalesce(orders.status, 'completed') <> 'cancelled'
