-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID that has rows in trusted.customers.
{{ config(materialized='ephemeral') }}

with attributed as (
    select people.one_id, facts.*
    from {{ ref('stg_trusted__customers') }} facts
    join {{ ref('int_profiles_keyed') }} people
        on people.source = facts.source and people.source_key = facts.source_key
)

select
    one_id,
    -- age: 年龄 · Age (years) (tags/registry/basic.yml)
    max_by(cast(floor(months_between({{ business_date() }}, birth_date) / 12) as int), case when (months_between({{ business_date() }}, birth_date) >= 0 and months_between({{ business_date() }}, birth_date) < 1452) and cast(floor(months_between({{ business_date() }}, birth_date) / 12) as int) is not null then struct(registered_on, source, source_key) end) as age,
    -- home_branch: 归属机构 · Home branch (tags/registry/basic.yml)
    min_by(branch_id, case when branch_id is not null then struct(coalesce(registered_on, date'9999-12-31'), source, source_key) end) as home_branch,
    -- is_staff: 本行员工 · Bank employee (tags/registry/basic.yml)
    max(is_staff) as is_staff,
    -- has_medical_insurance: 医保参保 · Medical insurance (tags/registry/basic.yml)
    max(has_medical_insurance) as has_medical_insurance,
    -- education: 学历 · Education (tags/registry/basic.yml)
    max_by(education, case when education is not null then struct(registered_on, source, source_key) end) as education,
    -- income_band: 收入区间 · Income band (tags/registry/basic.yml)
    max_by(income_band, case when income_band is not null then struct(registered_on, source, source_key) end) as income_band,
    -- marital_state: 婚姻状况 · Marital state (tags/registry/basic.yml)
    max_by(marital_state, case when marital_state is not null then struct(registered_on, source, source_key) end) as marital_state,
    -- family_role: 家庭角色 · Family role (tags/registry/basic.yml)
    max_by(family_role, case when family_role is not null then struct(registered_on, source, source_key) end) as family_role,
    -- has_transaction_alerts: 动账通知签约 · Transaction alerts (tags/registry/behaviour.yml)
    max(has_transaction_alerts) as has_transaction_alerts,
    -- acquisition_channel: 获客渠道 · Acquisition channel (tags/registry/marketing.yml)
    min_by(acquisition_channel, case when acquisition_channel is not null then struct(coalesce(registered_on, date'9999-12-31'), source, source_key) end) as acquisition_channel,
    -- acquisition_campaign: 获客活动 · Acquisition campaign (tags/registry/marketing.yml)
    min_by(acquisition_campaign_id, case when acquisition_campaign_id is not null then struct(coalesce(registered_on, date'9999-12-31'), source, source_key) end) as acquisition_campaign,
    -- id_document_valid_until: 证件到期日 · ID valid until (tags/registry/measures.yml)
    max(document_expires_on) as id_document_valid_until,
    -- is_deceased: 已故 · Deceased (tags/registry/measures.yml)
    max((deceased_on <= {{ business_date() }})) as is_deceased,
    -- is_merchant: 收单商户 · Acquired merchant (tags/registry/measures.yml)
    max(is_merchant) as is_merchant,
    -- is_new_in_city: 新市民 · New in the city (tags/registry/measures.yml)
    max((residence_city <> registered_city and residence_since > add_months({{ business_date() }}, -36) and residence_since <= {{ business_date() }})) as is_new_in_city
from attributed
group by one_id
