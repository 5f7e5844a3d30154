-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_profiles_described.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_profiles_described') }}
    where one_id is not null
)

select
    one_id,
    -- city_tier: 城市等级 · City tier (tags/registry/basic.yml)
    max_by(city_tier, case when city_tier is not null then struct(registered_on, source, source_key) end) as city_tier,
    -- occupation_class: 职业大类 · Occupation class (tags/registry/basic.yml)
    max_by(occupation_class, case when occupation_class is not null then struct(registered_on, source, source_key) end) as occupation_class
from attributed
group by one_id
