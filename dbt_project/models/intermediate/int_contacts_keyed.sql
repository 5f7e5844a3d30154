{{ config(materialized='ephemeral') }}
-- Receipts are events of a contact; a contact is one message of a run to a recipient in a channel.
select
    receipts.one_id,
    receipts.source,
    receipts.run_id,
    receipts.destination,
    receipts.recipient_key,
    receipts.channel,
    -- receipts of a run of which no purpose was recorded may differ; one of marketing makes a contact of marketing
    case when max(receipts.purpose = 'marketing') then 'marketing' else max(receipts.purpose) end as purpose,
    min(case
        when receipts.status not in ('CAPPED', 'QUIET_DEFERRED', 'QUIET_DROPPED', 'EXPIRED', 'ASSIGNED')
            then receipts.event_on
    end) as touched_on,
    max(case
        when receipts.status in ('OPENED', 'CLICKED', 'REPLIED', 'CONVERTED', 'FOLLOW_UP', 'WON')
            then receipts.event_on
    end) as responded_on
from {{ ref('int_receipts_keyed') }} receipts
group by
    receipts.one_id,
    receipts.source,
    receipts.run_id,
    receipts.destination,
    receipts.recipient_key,
    receipts.channel
