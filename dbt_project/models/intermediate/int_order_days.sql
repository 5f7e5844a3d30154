{{ config(materialized='ephemeral') }}
-- Several orders of a day are one order day.
with days as (
    select distinct people.one_id, orders.ordered_on
    from {{ ref('int_orders_judged') }} orders
    join {{ ref('int_profiles_keyed') }} people
        on people.source = orders.source and people.source_key = orders.source_key
    where orders.is_sale
)

select
    one_id,
    ordered_on,
    datediff(ordered_on, lag(ordered_on) over (partition by one_id order by ordered_on)) as days_since_previous
from days
