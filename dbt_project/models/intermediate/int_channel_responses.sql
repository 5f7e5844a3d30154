{{ config(materialized='ephemeral') }}
-- Receipts of 180 days by person and channel. A contact was delivered if it was opened or clicked, whatever else was reported.
with contacts as (
    select
        one_id,
        channel,
        source,
        run_id,
        destination,
        recipient_key,
        max(case when status in ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED', 'CONVERTED') then 1 else 0 end) as is_delivered,
        max(case when status = 'OPENED' then 1 else 0 end) as is_opened,
        max(case when status = 'CLICKED' then 1 else 0 end) as is_clicked,
        min(event_at) as contacted_at,
        max(case when status in ('OPENED', 'CLICKED') then event_at end) as responded_at
    from {{ ref('int_receipts_keyed') }}
    where event_on > date_sub({{ business_date() }}, 180)
        and channel <> 'WORKLIST'
    group by one_id, channel, source, run_id, destination, recipient_key
),

followed as (
    select
        *,
        max(case when channel = 'WECHAT' then responded_at end) over (partition by one_id) as wechat_at
    from contacts
),

unopened as (
    select one_id, count(*) as unopened_before
    from followed
    where channel <> 'WECHAT' and is_delivered = 1 and responded_at is null and contacted_at < wechat_at
    group by one_id
)

select
    followed.one_id,
    followed.channel,
    sum(followed.is_opened) + sum(followed.is_clicked) as response_count,
    sum(followed.is_delivered) as delivered_count,
    max(followed.responded_at) as responded_at,
    case when followed.channel = 'WECHAT' then coalesce(max(unopened.unopened_before), 0) else 0 end as unopened_before
from followed
left join unopened
    on unopened.one_id = followed.one_id
group by followed.one_id, followed.channel
