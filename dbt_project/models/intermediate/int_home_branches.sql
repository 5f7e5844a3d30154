{{ config(materialized='ephemeral') }}
-- The branch of a person as the tag home_branch picks it, with the source that calls it so.
select
    one_id,
    home.source,
    home.branch_id
from (
    select
        people.one_id,
        min_by(
            struct(customers.source, customers.branch_id),
            struct(coalesce(customers.registered_on, date'9999-12-31') as registered_on, customers.source, customers.source_key)
        ) as home
    from {{ ref('stg_trusted__customers') }} customers
    join {{ ref('int_profiles_keyed') }} people
        on people.source = customers.source and people.source_key = customers.source_key
    where customers.branch_id is not null
    group by people.one_id
) picked
