{{ config(materialized='ephemeral') }}
-- Who was referred counts for the person behind the referrer's profile; nobody refers themselves.
select
    referrers.one_id,
    customers.source,
    customers.source_key,
    referred.one_id as referred_one_id,
    customers.registered_on
from {{ ref('stg_trusted__customers') }} customers
join {{ ref('int_profiles_keyed') }} referred
    on referred.source = customers.source and referred.source_key = customers.source_key
join {{ ref('int_profiles_keyed') }} referrers
    on referrers.source = customers.source and referrers.source_key = customers.referrer_key
where customers.registered_on <= {{ business_date() }}
    and referrers.one_id <> referred.one_id
