-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
SELECT p.one_id, a.arm = 'CONTROL' AS was_control,
    coalesce(a.arm = 'CONTROL', cast(conv(substr(sha2(concat(concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END), '|', cast(p.one_id as string)), 256), 1, 15), 16, 10) as bigint) % 10000 < CASE concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END) WHEN 'GCG-2026H2' THEN 500 ELSE 500 END) AS is_control
  FROM {{ ref('int_people') }} p
  LEFT JOIN (SELECT g.salt, coalesce(m.to_one_id, g.one_id) AS one_id, min(g.arm) AS arm, count(DISTINCT g.arm) AS arms
  FROM (SELECT s.salt, s.one_id, s.arm FROM {{ source('segments', 'assignments') }} s WHERE s.assigned_on < {{ business_date() }}
    UNION ALL
    SELECT s.salt, i.one_id, s.arm FROM {{ source('identity', 'inheritances') }} i
    JOIN {{ source('segments', 'assignments') }} s ON s.one_id = i.from_one_id AND s.assigned_on < i.shared_until
    LEFT JOIN {{ source('segments', 'assignments') }} o ON o.salt = s.salt AND o.one_id = i.one_id AND o.assigned_on < i.parted_on
    WHERE i.parted_on <= {{ business_date() }} AND s.assigned_on < {{ business_date() }} AND o.one_id IS NULL) g
  LEFT JOIN {{ ref('int_redirects') }} m ON m.from_one_id = g.one_id
  GROUP BY g.salt, coalesce(m.to_one_id, g.one_id)) a ON a.one_id = p.one_id AND a.salt = concat('GCG-', year({{ business_date() }}), 'H', CASE WHEN month({{ business_date() }}) <= 6 THEN 1 ELSE 2 END)
