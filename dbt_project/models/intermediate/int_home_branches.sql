{{ config(materialized='ephemeral') }}
-- The branch of a person as the tag home_branch picks it, with the source whose branch it is: the one that says so, or, where that has no
-- branch of this code, the only source that has one. A CRM states branches by the codes of the core.
with picked as (
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
),

homes as (
    select one_id, home.source, home.branch_id from picked
),

only_owners as (
    select branch_id, min(source) as source
    from {{ ref('stg_trusted__branches') }}
    group by branch_id
    having min(source) = max(source)
)

select
    homes.one_id,
    case when own.branch_id is null then coalesce(only_owners.source, homes.source) else homes.source end as source,
    homes.branch_id
from homes
left join {{ ref('stg_trusted__branches') }} own
    on own.source = homes.source and own.branch_id = homes.branch_id
left join only_owners
    on only_owners.branch_id = homes.branch_id
