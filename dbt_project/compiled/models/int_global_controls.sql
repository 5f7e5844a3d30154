-- Written by `cdp tags compile` from vocabulary/contact_rules.py and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
SELECT p.one_id, a.arm = 'CONTROL' AS was_control,
    coalesce(a.arm = 'CONTROL', cast(conv(substr(sha2(concat(concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END), '|', cast(p.one_id as string)), 256), 1, 15), 16, 10) as bigint) % 10000 < CASE concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END) WHEN 'GCG-2026H2' THEN 500 ELSE 500 END) AS is_control
  FROM {{ ref('int_people') }} p
  LEFT JOIN (SELECT s.salt, coalesce(m.to_one_id, s.one_id) AS one_id, min(s.arm) AS arm, count(DISTINCT s.arm) AS arms
  FROM {{ source('segments', 'assignments') }} s LEFT JOIN {{ ref('int_redirects') }} m ON m.from_one_id = s.one_id
  WHERE s.assigned_on < {{ business_date() }}
  GROUP BY s.salt, coalesce(m.to_one_id, s.one_id)) a ON a.one_id = p.one_id AND a.salt = concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END)
