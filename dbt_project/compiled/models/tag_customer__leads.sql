-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.leads.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('stg_trusted__leads') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- has_scene_lead_180d: 近180天场景线索 · Lead from a scene, 180 days (tags/registry/measures.yml)
    max((scene is not null) and received_on > date_sub({{ business_date() }}, 180)) as has_scene_lead_180d
from attributed
where received_on >= date_sub({{ business_date() }}, 179)
group by one_id
