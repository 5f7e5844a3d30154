-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.identifier_observations.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('stg_trusted__identifier_observations') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- is_app_registered: 已注册App · Registered in the app (tags/registry/measures.yml)
    max((substring_index(namespace, '@', 1) = 'app_user_id')) as is_app_registered,
    -- app_registered_days: App注册天数 · Days since app registration (tags/registry/measures.yml)
    max(case when (substring_index(namespace, '@', 1) = 'app_user_id' and observed_on <= {{ business_date() }}) then datediff({{ business_date() }}, observed_on) end) as app_registered_days
from attributed
group by one_id
