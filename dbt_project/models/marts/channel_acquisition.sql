{{ config(materialized='table', tags=['mart']) }}
-- Small channels, and in each channel small campaigns, are the row OTHER, so that every total is whole.
with people as (
    select
        coalesce(acquisition_channel, 'UNKNOWN') as channel,
        coalesce(acquisition_campaign, 'UNKNOWN') as campaign_id,
        kind,
        new_customer_day,
        is_mau,
        aum_eod
    from {{ ref('int_people_by_day') }}
    where is_now
),

channels as (
    select
        *,
        coalesce(sum(people_count) over (
            order by people_count, channel rows between unbounded preceding and 1 preceding
        ), 0) as smaller_count
    from (select channel, count(*) as people_count from people group by channel) sizes
),

channelled as (
    select
        case when {{ is_small_group('channels.people_count', 'channels.smaller_count') }} then 'OTHER' else people.channel end as channel,
        people.campaign_id,
        people.kind,
        people.new_customer_day,
        people.is_mau,
        people.aum_eod
    from people
    join channels
        on channels.channel = people.channel
),

campaigns as (
    select
        *,
        coalesce(sum(people_count) over (
            partition by channel order by people_count, campaign_id rows between unbounded preceding and 1 preceding
        ), 0) as smaller_count
    from (select channel, campaign_id, count(*) as people_count from channelled group by channel, campaign_id) sizes
),

placed as (
    select
        channelled.channel,
        case when {{ is_small_group('campaigns.people_count', 'campaigns.smaller_count') }} then 'OTHER' else channelled.campaign_id end
            as campaign_id,
        channelled.kind,
        channelled.new_customer_day,
        channelled.is_mau,
        channelled.aum_eod
    from channelled
    join campaigns
        on campaigns.channel = channelled.channel and campaigns.campaign_id = channelled.campaign_id
),

counts as (
    select
        channel,
        campaign_id,
        cast(count(*) as bigint) as people_count,
        cast(count(case when kind = 'customer' then 1 end) as bigint) as customer_count,
        cast(count(new_customer_day) as bigint) as new_customer_count,
        cast(count(case when is_mau then 1 end) as bigint) as mau_count,
        cast(coalesce(sum(aum_eod), 0) as decimal(24, 2)) as aum
    from placed
    group by channel, campaign_id
),

names as (
    select campaign_id, min(name) as campaign_name
    from {{ ref('stg_trusted__campaigns') }}
    group by campaign_id
)

select
    {{ business_date() }} as as_of,
    counts.channel,
    counts.campaign_id,
    names.campaign_name,
    counts.people_count,
    counts.customer_count,
    counts.new_customer_count,
    counts.mau_count,
    counts.aum,
    cast(cast(counts.customer_count as decimal(18, 0)) / cast(counts.people_count as decimal(18, 0)) as decimal(18, 6)) as customer_ratio
from counts
left join names
    on names.campaign_id = counts.campaign_id
where counts.people_count >= {{ least_people() }}
