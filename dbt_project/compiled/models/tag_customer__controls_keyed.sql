-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in int_controls_keyed.
{{ config(materialized='ephemeral') }}

with attributed as (
    select * from {{ ref('int_controls_keyed') }}
    where one_id is not null
)

select
    one_id,
    -- aml_grade: 洗钱风险等级 · Money-laundering grade (tags/registry/risk.yml)
    max_by(grade, case when (control_type = 'AML_GRADE' and held_until > date_sub({{ business_date() }}, 180)) and grade is not null then struct(least(held_until, date_add({{ business_date() }}, 1)), find_in_set(grade, 'L,ML,M,MH,H'), started_on, one_id, source, control_id, valid_from) end) as aml_grade,
    -- is_account_controlled: 账户管控标识 · Account control (tags/registry/risk.yml)
    max((is_in_force and control_type in ('FRAUD', 'STOP_PAYMENT', 'JUDICIAL'))) as is_account_controlled
from attributed
group by one_id
