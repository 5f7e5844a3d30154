-- Written by `cdp tags compile` from vocabulary/contact_rules.py and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
SELECT coalesce(d.to_one_id, k.one_id) AS one_id, r.source, r.receipt_id, r.run_id, r.destination,
    r.recipient_key, r.channel, r.status, r.event_at, r.event_on,
    coalesce(v.purpose, r.purpose, 'marketing') AS purpose
  FROM {{ source('trusted', 'receipts') }} r
  JOIN {{ source('segments', 'recipients') }} k ON k.destination = r.destination AND k.recipient_key = r.recipient_key
  LEFT JOIN {{ source('segments', 'deliveries') }} v ON v.destination = r.destination AND v.run_id = r.run_id
  LEFT JOIN {{ ref('int_redirects') }} d ON d.from_one_id = k.one_id
  WHERE r._arrived_on <= {{ business_date() }} AND r.event_on <= {{ business_date() }}
