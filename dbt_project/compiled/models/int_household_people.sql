-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
WITH persons AS (SELECT one_id, source, source_key FROM {{ ref('int_profiles_keyed') }}),
belonging AS (
  SELECT DISTINCT CASE WHEN r.to_source = 'credit_code' THEN upper(trim(r.to_key)) ELSE concat(r.to_source, '/', trim(r.to_key)) END AS entity_key, r.to_source AS source, CASE WHEN r.to_source = 'credit_code' THEN upper(trim(r.to_key)) ELSE trim(r.to_key) END AS entity_id, p.one_id
    FROM {{ source('trusted', 'relationships') }} r JOIN persons p ON p.source = r.from_source AND p.source_key = r.from_key
    WHERE r.relationship_type = 'person_household' AND trim(r.to_key) <> ''
    AND r.valid_from <= {{ business_date() }} AND (r.valid_to IS NULL OR r.valid_to > {{ business_date() }})
    AND (r.started_on IS NULL OR r.started_on <= {{ business_date() }}) AND (r.ended_on IS NULL OR r.ended_on > {{ business_date() }})
  UNION
  SELECT DISTINCT CASE WHEN r.to_source = 'credit_code' THEN upper(trim(r.to_key)) ELSE concat(r.to_source, '/', trim(r.to_key)) END AS entity_key, r.to_source AS source, CASE WHEN r.to_source = 'credit_code' THEN upper(trim(r.to_key)) ELSE trim(r.to_key) END AS entity_id, p.one_id
    FROM {{ source('trusted', 'relationships') }} r JOIN persons p ON p.source = r.to_source AND p.source_key = r.to_key
    WHERE r.relationship_type = 'person_household' AND trim(r.to_key) <> ''
    AND r.valid_from <= {{ business_date() }} AND (r.valid_to IS NULL OR r.valid_to > {{ business_date() }})
    AND (r.started_on IS NULL OR r.started_on <= {{ business_date() }}) AND (r.ended_on IS NULL OR r.ended_on > {{ business_date() }}))
SELECT source, entity_id AS household_id, one_id FROM belonging
