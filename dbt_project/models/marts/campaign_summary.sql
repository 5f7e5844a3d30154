{{ config(materialized='table', tags=['mart']) }}
-- A contact is one message of a run to a recipient in a channel, touched and answered as `int_contacts_keyed` says. A person may be in
-- several rows, so small ones cannot be put together: they are left out. A receipt that concerns the parts of a person who was split
-- is one receipt all the same.
with receipts as (
    select
        runs.segment,
        max(keyed.one_id) as one_id,
        keyed.source,
        keyed.receipt_id,
        keyed.run_id,
        keyed.destination,
        keyed.recipient_key,
        keyed.channel,
        keyed.status
    from {{ ref('int_receipts_keyed') }} keyed
    join {{ ref('int_campaign_runs') }} runs
        on runs.run_id = keyed.run_id and runs.destination = keyed.destination
    group by
        runs.segment,
        keyed.source,
        keyed.receipt_id,
        keyed.run_id,
        keyed.destination,
        keyed.recipient_key,
        keyed.channel,
        keyed.status
),

contacts as (
    select
        segment,
        channel,
        run_id,
        destination,
        recipient_key,
        source,
        max(one_id) as one_id,
        max(case
            when status not in ('CAPPED', 'QUIET_DEFERRED', 'QUIET_DROPPED', 'EXPIRED', 'ASSIGNED') then 1 else 0
        end) as is_touched,
        max(case when status = 'DELIVERED' then 1 else 0 end) as is_delivered,
        max(case
            when status in ('OPENED', 'CLICKED', 'REPLIED', 'CONVERTED', 'FOLLOW_UP', 'WON') then 1 else 0
        end) as is_answered,
        max(case when status in ('CONVERTED', 'WON') then 1 else 0 end) as is_converted,
        max(case when status in ('BOUNCED_HARD', 'BOUNCED_SOFT') then 1 else 0 end) as is_bounced,
        max(case when status in ('REFUSED', 'COMPLAINED') then 1 else 0 end) as is_refused
    from receipts
    group by segment, channel, run_id, destination, recipient_key, source
),

costs as (
    select
        receipts.segment,
        receipts.channel,
        sum(stated.cost) as cost,
        min(coalesce(stated.currency, '')) as currency,
        count(distinct coalesce(stated.currency, '')) as currency_count
    from receipts
    join {{ ref('stg_trusted__receipts') }} stated
        on stated.source = receipts.source and stated.receipt_id = receipts.receipt_id
    where stated.cost is not null
    group by receipts.segment, receipts.channel
),

counts as (
    select
        segment,
        channel,
        cast(count(distinct run_id) as bigint) as run_count,
        cast(count(distinct one_id) as bigint) as people_count,
        cast(count(*) as bigint) as contact_count,
        cast(sum(is_touched) as bigint) as touched_count,
        cast(sum(is_delivered) as bigint) as delivered_count,
        cast(sum(is_answered) as bigint) as answered_count,
        cast(sum(is_converted) as bigint) as converted_count,
        cast(sum(is_bounced) as bigint) as bounced_count,
        cast(sum(is_refused) as bigint) as refused_count
    from contacts
    group by segment, channel
)

select
    {{ business_date() }} as as_of,
    counts.segment,
    counts.channel,
    counts.run_count,
    counts.people_count,
    counts.contact_count,
    counts.touched_count,
    counts.delivered_count,
    counts.answered_count,
    counts.converted_count,
    counts.bounced_count,
    counts.refused_count,
    cast(cast(counts.answered_count as decimal(18, 0)) / nullif(cast(counts.touched_count as decimal(18, 0)), 0) as decimal(18, 6))
        as answered_ratio,
    cast(cast(counts.converted_count as decimal(18, 0)) / nullif(cast(counts.touched_count as decimal(18, 0)), 0) as decimal(18, 6))
        as converted_ratio,
    case when costs.currency_count = 1 then cast(costs.cost as decimal(24, 2)) end as cost,
    case when costs.currency_count = 1 then nullif(costs.currency, '') end as currency
from counts
left join costs
    on costs.segment = counts.segment and costs.channel = counts.channel
where counts.people_count >= {{ least_people() }}
