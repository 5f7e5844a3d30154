-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.assessments.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('stg_trusted__assessments') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- risk_assessed_until: 风评有效期至 · Risk assessed until (tags/registry/measures.yml)
    max_by(coalesce(valid_until, add_months(assessed_on, 12)), case when coalesce(valid_until, add_months(assessed_on, 12)) is not null then struct(assessed_on, -cast(substr(grade, 2) as int), source, assessment_id, _arrived_on, _file, _row) end) as risk_assessed_until,
    -- risk_capacity: 风险承受等级 · Risk capacity (tags/registry/risk.yml)
    max_by(grade, case when grade is not null then struct(assessed_on, -cast(substr(grade, 2) as int), source, assessment_id, _arrived_on, _file, _row) end) as risk_capacity
from attributed
group by one_id
