{{ config(materialized='ephemeral') }}
-- What a profile says about its person, with codes looked up in the lists of any source. The 17th digit of an
-- 18-digit national id is odd for men.
with ids as (
    select
        source,
        source_key,
        max(substr(regexp_replace(value, '[^0-9Xx]', ''), 17, 1)) as sex_digit
    from {{ ref('stg_trusted__identifier_observations') }}
    where namespace = 'national_id'
        and length(regexp_replace(value, '[^0-9Xx]', '')) = 18
    group by source, source_key
),

codes as (
    select code_set, code, min(parent_code) as parent_code
    from {{ ref('stg_trusted__reference_values') }}
    where code_set in ('city', 'occupation')
    group by code_set, code
)

select
    people.one_id,
    customers.source,
    customers.source_key,
    customers.registered_on,
    case
        when ids.sex_digit in ('1', '3', '5', '7', '9') then 'M'
        when ids.sex_digit in ('0', '2', '4', '6', '8') then 'F'
    end as gender_by_id,
    cities.parent_code as city_tier,
    coalesce(occupations.parent_code, occupations.code) as occupation_class
from {{ ref('stg_trusted__customers') }} customers
join {{ ref('int_profiles_keyed') }} people
    on people.source = customers.source and people.source_key = customers.source_key
left join ids
    on ids.source = customers.source and ids.source_key = customers.source_key
left join codes cities
    on cities.code_set = 'city' and cities.code = customers.residence_city
left join codes occupations
    on occupations.code_set = 'occupation' and occupations.code = customers.occupation
