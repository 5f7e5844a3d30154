-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='ephemeral') }}
WITH contacts AS (
  SELECT one_id, channel, source, run_id, destination, recipient_key,
    max(CASE WHEN status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED', 'CONVERTED') THEN 1 ELSE 0 END) AS is_delivered,
    max(CASE WHEN status = 'OPENED' THEN 1 ELSE 0 END) AS is_opened,
    max(CASE WHEN status = 'CLICKED' THEN 1 ELSE 0 END) AS is_clicked,
    min(event_at) AS contacted_at,
    max(CASE WHEN status IN ('OPENED', 'CLICKED') THEN event_at END) AS responded_at
  FROM {{ ref('int_receipts_keyed') }} r
  WHERE event_on > date_add({{ business_date() }}, -180) AND channel <> 'WORKLIST'
  GROUP BY one_id, channel, source, run_id, destination, recipient_key),
followed AS (
  SELECT *, max(CASE WHEN channel = 'WECHAT' THEN responded_at END) OVER (PARTITION BY one_id) AS wechat_at FROM contacts),
unopened AS (
  SELECT one_id, count(*) AS unopened_before FROM followed
  WHERE channel <> 'WECHAT' AND is_delivered = 1 AND responded_at IS NULL AND contacted_at < wechat_at
  GROUP BY one_id)
SELECT f.one_id, f.channel, sum(f.is_opened) + sum(f.is_clicked) AS response_count,
    sum(f.is_delivered) AS delivered_count, max(f.responded_at) AS responded_at,
    CASE WHEN f.channel = 'WECHAT' THEN coalesce(max(u.unopened_before), 0) ELSE 0 END AS unopened_before
FROM followed f LEFT JOIN unopened u ON u.one_id = f.one_id GROUP BY f.one_id, f.channel
