-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
WITH given AS (
  SELECT k.one_id, r.source, r.receipt_id, r.run_id, r.destination, r.recipient_key, r.channel, r.status, r.event_at, r.event_on,
    coalesce(v.purpose, r.purpose, 'marketing') AS purpose, coalesce(v.as_of, date_add(r.event_on, -1)) AS given_on
  FROM {{ source('trusted', 'receipts') }} r
  JOIN {{ source('segments', 'recipients') }} k ON k.destination = r.destination AND k.recipient_key = r.recipient_key
  LEFT JOIN {{ source('segments', 'deliveries') }} v ON v.destination = r.destination AND v.run_id = r.run_id
  WHERE r._arrived_on <= {{ business_date() }} AND r.event_on <= {{ business_date() }})
SELECT coalesce(m.to_one_id, g.one_id) AS one_id, g.source, g.receipt_id, g.run_id, g.destination, g.recipient_key, g.channel, g.status, g.event_at, g.event_on, g.purpose
  FROM given g LEFT JOIN {{ ref('int_redirects') }} m ON m.from_one_id = g.one_id
  UNION ALL
  SELECT DISTINCT coalesce(h.to_one_id, i.one_id), g.source, g.receipt_id, g.run_id, g.destination, g.recipient_key, g.channel, g.status, g.event_at, g.event_on, g.purpose
  FROM {{ source('identity', 'inheritances') }} i JOIN given g ON g.one_id = i.from_one_id AND g.given_on < i.shared_until
  LEFT JOIN {{ ref('int_redirects') }} m ON m.from_one_id = g.one_id
  LEFT JOIN {{ ref('int_redirects') }} h ON h.from_one_id = i.one_id
  WHERE i.parted_on <= {{ business_date() }} AND coalesce(h.to_one_id, i.one_id) <> coalesce(m.to_one_id, g.one_id)
