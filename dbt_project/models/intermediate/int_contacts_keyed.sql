{{ config(materialized='ephemeral') }}
-- Receipts are events of a contact; a contact is one message of a run to a recipient in a channel. Only the
-- destination's own dictionary of recipients can say who the recipient is.
select
    recipients.one_id,
    receipts.source,
    receipts.run_id,
    receipts.destination,
    receipts.recipient_key,
    receipts.channel,
    coalesce(max(receipts.purpose), 'marketing') as purpose,
    min(case
        when receipts.status not in ('CAPPED', 'QUIET_DEFERRED', 'QUIET_DROPPED', 'EXPIRED', 'ASSIGNED')
            then receipts.event_on
    end) as touched_on,
    max(case
        when receipts.status in ('OPENED', 'CLICKED', 'REPLIED', 'CONVERTED', 'FOLLOW_UP', 'WON')
            then receipts.event_on
    end) as responded_on,
    max(case when receipts.status = 'BOUNCED_HARD' then receipts.event_at end) as bounced_at,
    max(case when receipts.status in ('REFUSED', 'COMPLAINED') then receipts.event_at end) as refused_at,
    max(receipts.status = 'COMPLAINED') as is_complaint
from {{ ref('stg_trusted__receipts') }} receipts
join {{ source('segments', 'recipients') }} recipients
    on recipients.destination = receipts.destination
    and recipients.recipient_key = receipts.recipient_key
group by
    recipients.one_id,
    receipts.source,
    receipts.run_id,
    receipts.destination,
    receipts.recipient_key,
    receipts.channel
