-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
SELECT p.one_id, c.source, c.control_id, c.control_type, c.grade, c.started_on, c.ended_on, c.valid_from, c.valid_to,
    (c.valid_to IS NULL OR c.valid_to > {{ business_date() }}) AND (c.ended_on IS NULL OR c.ended_on > {{ business_date() }}) AS is_in_force,
    least(coalesce(c.valid_to, DATE '9999-12-31'), coalesce(c.ended_on, DATE '9999-12-31')) AS held_until
  FROM {{ source('trusted', 'account_controls') }} c JOIN {{ ref('int_profiles_keyed') }} p ON p.source = c.source AND p.source_key = c.source_key
  WHERE c.valid_from <= {{ business_date() }} AND (c.valid_to IS NULL OR c.valid_to > date_add({{ business_date() }}, -400)) AND c.started_on <= {{ business_date() }}
  UNION
  SELECT p.one_id, c.source, c.control_id, c.control_type, c.grade, c.started_on, c.ended_on, c.valid_from, c.valid_to,
    (c.valid_to IS NULL OR c.valid_to > {{ business_date() }}) AND (c.ended_on IS NULL OR c.ended_on > {{ business_date() }}) AS is_in_force,
    least(coalesce(c.valid_to, DATE '9999-12-31'), coalesce(c.ended_on, DATE '9999-12-31')) AS held_until
  FROM {{ source('trusted', 'account_controls') }} c
  JOIN {{ source('trusted', 'relationships') }} r ON r.relationship_type = 'person_account' AND r.role IN ('owner', 'co_holder')
    AND r.valid_from <= {{ business_date() }} AND (r.valid_to IS NULL OR r.valid_to > {{ business_date() }}) AND r.to_source = c.source AND r.to_key = c.account_id
  JOIN {{ ref('int_profiles_keyed') }} p ON p.source = r.from_source AND p.source_key = r.from_key
  WHERE c.valid_from <= {{ business_date() }} AND (c.valid_to IS NULL OR c.valid_to > date_add({{ business_date() }}, -400)) AND c.started_on <= {{ business_date() }}
