-- Written by `cdp tags compile` from the rules in vocabulary and consent.yml. Edit those, not this file.
{{ config(materialized='table') }}
WITH persons AS (
  SELECT one_id, source, source_key FROM {{ ref('int_profiles_keyed') }}),
controls AS (
  SELECT p.one_id, c.source, c.control_id, c.control_type, c.grade, c.started_on, c.ended_on, c.valid_from, c.valid_to,
    (c.valid_to IS NULL OR c.valid_to > {{ business_date() }}) AND (c.ended_on IS NULL OR c.ended_on > {{ business_date() }}) AS is_in_force,
    least(coalesce(c.valid_to, DATE '9999-12-31'), coalesce(c.ended_on, DATE '9999-12-31')) AS held_until
  FROM {{ source('trusted', 'account_controls') }} c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key
  WHERE c.valid_from <= {{ business_date() }} AND (c.valid_to IS NULL OR c.valid_to > date_add({{ business_date() }}, -400)) AND c.started_on <= {{ business_date() }}
  UNION
  SELECT p.one_id, c.source, c.control_id, c.control_type, c.grade, c.started_on, c.ended_on, c.valid_from, c.valid_to,
    (c.valid_to IS NULL OR c.valid_to > {{ business_date() }}) AND (c.ended_on IS NULL OR c.ended_on > {{ business_date() }}) AS is_in_force,
    least(coalesce(c.valid_to, DATE '9999-12-31'), coalesce(c.ended_on, DATE '9999-12-31')) AS held_until
  FROM {{ source('trusted', 'account_controls') }} c
  JOIN {{ source('trusted', 'relationships') }} r ON r.relationship_type = 'person_account' AND r.role IN ('owner', 'co_holder')
    AND r.valid_from <= {{ business_date() }} AND (r.valid_to IS NULL OR r.valid_to > {{ business_date() }}) AND r.to_source = c.source AND r.to_key = c.account_id
  JOIN persons p ON p.source = r.from_source AND p.source_key = r.from_key
  WHERE c.valid_from <= {{ business_date() }} AND (c.valid_to IS NULL OR c.valid_to > date_add({{ business_date() }}, -400)) AND c.started_on <= {{ business_date() }}),
control_facts AS (
  SELECT one_id,
    bool_or(control_type IN ('FRAUD', 'STOP_PAYMENT', 'JUDICIAL') OR (control_type = 'AML_GRADE' AND grade IN ('MH', 'H'))) AS is_restricted,
    bool_or(control_type = 'COMPLAINT') AS has_complained
  FROM controls WHERE is_in_force GROUP BY one_id),
answers AS (
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
  WHERE i.parted_on <= {{ business_date() }} AND coalesce(h.to_one_id, i.one_id) <> coalesce(m.to_one_id, g.one_id)),
receipt_facts AS (
  SELECT one_id,
    bool_or(status = 'COMPLAINED') AS has_complained,
    max(CASE WHEN channel = 'BRANCH' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'BRANCH' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_branch,
    max(CASE WHEN channel = 'CALL' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'CALL' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_call,
    max(CASE WHEN channel = 'EMAIL' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'EMAIL' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_email,
    max(CASE WHEN channel = 'INAPP' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'INAPP' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_inapp,
    max(CASE WHEN channel = 'PUSH' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'PUSH' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_push,
    max(CASE WHEN channel = 'SMS' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'SMS' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_sms,
    max(CASE WHEN channel = 'WECHAT' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'WECHAT' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_wechat,
    max(CASE WHEN channel = 'WECOM' AND status = 'BOUNCED_HARD' THEN event_at END) >= coalesce(max(CASE WHEN channel = 'WECOM' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_wecom
  FROM answers GROUP BY one_id),
decisions AS (
  SELECT p.one_id, c.purpose, c.channel, c.decision = 'REFUSE' AS is_refusal, c.decided_at, coalesce(c.expires_on, DATE '9999-12-31') AS expires_on
  FROM {{ source('trusted', 'consents') }} c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key
  WHERE c.valid_from <= {{ business_date() }} AND (c.valid_to IS NULL OR c.valid_to > {{ business_date() }})
  UNION ALL SELECT one_id, purpose, 'ALL', true, event_at, DATE '9999-12-31' FROM answers WHERE status = 'REFUSED'
  UNION ALL SELECT one_id, 'marketing', 'ALL', true, event_at, DATE '9999-12-31' FROM answers WHERE status = 'REFUSED' AND purpose <> 'marketing'),
latest_decisions AS (
  SELECT one_id,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'ALL' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'ALL' THEN struct(decided_at, is_refusal, expires_on) END) AS all_marketing_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'ALL' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'ALL' THEN struct(decided_at, is_refusal, expires_on) END) AS all_marketing_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'ALL' AND is_refusal THEN decided_at END) AS all_marketing_refused_at,
    max_by(CASE WHEN purpose = 'marketing' AND (channel = 'ALL' OR NOT is_refusal) THEN is_refusal END, CASE WHEN purpose = 'marketing' AND (channel = 'ALL' OR NOT is_refusal) THEN struct(decided_at, is_refusal, expires_on) END) AS overall_marketing_is_refusal,
    max_by(CASE WHEN purpose = 'profiling' THEN is_refusal END, CASE WHEN purpose = 'profiling' THEN struct(decided_at, is_refusal, expires_on) END) AS profiling_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'BRANCH' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'BRANCH' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_branch_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'BRANCH' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'BRANCH' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_branch_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'BRANCH' THEN decided_at END) AS own_marketing_branch_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'CALL' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'CALL' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_call_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'CALL' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'CALL' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_call_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'CALL' THEN decided_at END) AS own_marketing_call_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'EMAIL' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'EMAIL' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_email_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'EMAIL' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'EMAIL' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_email_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'EMAIL' THEN decided_at END) AS own_marketing_email_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'INAPP' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'INAPP' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_inapp_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'INAPP' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'INAPP' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_inapp_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'INAPP' THEN decided_at END) AS own_marketing_inapp_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'PUSH' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'PUSH' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_push_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'PUSH' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'PUSH' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_push_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'PUSH' THEN decided_at END) AS own_marketing_push_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'SMS' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'SMS' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_sms_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'SMS' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'SMS' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_sms_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'SMS' THEN decided_at END) AS own_marketing_sms_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'WECHAT' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'WECHAT' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_wechat_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'WECHAT' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'WECHAT' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_wechat_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'WECHAT' THEN decided_at END) AS own_marketing_wechat_at,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'WECOM' THEN is_refusal END, CASE WHEN purpose = 'marketing' AND channel = 'WECOM' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_wecom_is_refusal,
    max_by(CASE WHEN purpose = 'marketing' AND channel = 'WECOM' THEN expires_on END, CASE WHEN purpose = 'marketing' AND channel = 'WECOM' THEN struct(decided_at, is_refusal, expires_on) END) AS own_marketing_wecom_expires_on,
    max(CASE WHEN purpose = 'marketing' AND channel = 'WECOM' THEN decided_at END) AS own_marketing_wecom_at
  FROM decisions GROUP BY one_id),
consent_facts AS (
  SELECT one_id,
    coalesce(overall_marketing_is_refusal, false) OR coalesce(profiling_is_refusal, false) AS opt_out_marketing,
    CASE WHEN own_marketing_branch_is_refusal THEN false WHEN own_marketing_branch_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_branch_at, false) THEN own_marketing_branch_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_branch_1d,
    CASE WHEN own_marketing_call_is_refusal THEN false WHEN own_marketing_call_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_call_at, false) THEN own_marketing_call_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_call_1d,
    CASE WHEN own_marketing_email_is_refusal THEN false WHEN own_marketing_email_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_email_at, false) THEN own_marketing_email_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_email_1d,
    CASE WHEN own_marketing_inapp_is_refusal THEN false WHEN own_marketing_inapp_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_inapp_at, false) THEN own_marketing_inapp_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_inapp_1d,
    CASE WHEN own_marketing_push_is_refusal THEN false WHEN own_marketing_push_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_push_at, false) THEN own_marketing_push_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_push_1d,
    CASE WHEN own_marketing_sms_is_refusal THEN false WHEN own_marketing_sms_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_sms_at, false) THEN own_marketing_sms_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_sms_1d,
    CASE WHEN own_marketing_wechat_is_refusal THEN false WHEN own_marketing_wechat_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_wechat_at, false) THEN own_marketing_wechat_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_wechat_1d,
    CASE WHEN own_marketing_wecom_is_refusal THEN false WHEN own_marketing_wecom_at IS NOT NULL AND NOT coalesce(all_marketing_refused_at >= own_marketing_wecom_at, false) THEN own_marketing_wecom_expires_on > date_add({{ business_date() }}, 1) ELSE coalesce(NOT all_marketing_is_refusal AND all_marketing_expires_on > date_add({{ business_date() }}, 1), false) END AS allowed_marketing_wecom_1d
  FROM latest_decisions),
address_facts AS (
  SELECT p.one_id,
    bool_or((o.namespace = 'phone') AND trim(o.value) RLIKE '^(\\+?86)?[ -]?1[3-9][0-9 -]{9,}$') AS address_call,
    bool_or((o.namespace = 'email') AND trim(o.value) RLIKE '^[^@ ]+@[^@ ]+[.][^@ ]+$') AS address_email,
    bool_or((o.namespace = 'app_user_id@mobile_app')) AS address_inapp,
    bool_or((o.namespace = 'app_user_id@mobile_app')) AS address_push,
    bool_or((o.namespace = 'phone') AND trim(o.value) RLIKE '^(\\+?86)?[ -]?1[3-9][0-9 -]{9,}$') AS address_sms,
    bool_or((o.namespace = 'openid@wx6f2d81a0c4b7e935')) AS address_wechat,
    bool_or((startswith(o.namespace, 'external_userid@'))) AS address_wecom
  FROM {{ source('trusted', 'identifier_observations') }} o JOIN persons p ON p.source = o.source AND p.source_key = o.source_key
  WHERE o.valid_from <= {{ business_date() }} AND (o.valid_to IS NULL OR o.valid_to > {{ business_date() }}) GROUP BY p.one_id)
SELECT
  t.one_id,
  coalesce(control_facts.is_restricted, false) AS is_restricted,
  coalesce(control_facts.has_complained, false) OR coalesce(receipt_facts.has_complained, false) AS has_complained,
  coalesce(consent_facts.opt_out_marketing, false) AS opt_out_marketing,
  coalesce(consent_facts.allowed_marketing_branch_1d, false) AS allowed_marketing_branch_1d,
  coalesce(consent_facts.allowed_marketing_call_1d, false) AS allowed_marketing_call_1d,
  coalesce(consent_facts.allowed_marketing_email_1d, false) AS allowed_marketing_email_1d,
  coalesce(consent_facts.allowed_marketing_inapp_1d, false) AS allowed_marketing_inapp_1d,
  coalesce(consent_facts.allowed_marketing_push_1d, false) AS allowed_marketing_push_1d,
  coalesce(consent_facts.allowed_marketing_sms_1d, false) AS allowed_marketing_sms_1d,
  coalesce(consent_facts.allowed_marketing_wechat_1d, false) AS allowed_marketing_wechat_1d,
  coalesce(consent_facts.allowed_marketing_wecom_1d, false) AS allowed_marketing_wecom_1d,
  true AND NOT coalesce(receipt_facts.bounced_branch, false) AS usable_branch,
  coalesce(address_facts.address_call, false) AND NOT coalesce(receipt_facts.bounced_call, false) AS usable_call,
  coalesce(address_facts.address_email, false) AND NOT coalesce(receipt_facts.bounced_email, false) AS usable_email,
  coalesce(address_facts.address_inapp, false) AND NOT coalesce(receipt_facts.bounced_inapp, false) AS usable_inapp,
  coalesce(address_facts.address_push, false) AND NOT coalesce(receipt_facts.bounced_push, false) AS usable_push,
  coalesce(address_facts.address_sms, false) AND NOT coalesce(receipt_facts.bounced_sms, false) AS usable_sms,
  coalesce(address_facts.address_wechat, false) AND NOT coalesce(receipt_facts.bounced_wechat, false) AS usable_wechat,
  coalesce(address_facts.address_wecom, false) AND NOT coalesce(receipt_facts.bounced_wecom, false) AS usable_wecom
FROM {{ ref('int_people') }} t
LEFT JOIN control_facts ON control_facts.one_id = t.one_id
LEFT JOIN receipt_facts ON receipt_facts.one_id = t.one_id
LEFT JOIN consent_facts ON consent_facts.one_id = t.one_id
LEFT JOIN address_facts ON address_facts.one_id = t.one_id
