{{ config(materialized='table') }}
-- Money has exactly one owner: of several stated ones the earliest, then the smallest key.
with owners as (
    select
        to_source as source,
        to_key as account_id,
        min_by(
            struct(from_source, from_key),
            struct(coalesce(started_on, date'9999-12-31'), from_source, from_key)
        ) as person
    from {{ ref('stg_trusted__relationships') }}
    where relationship_type = 'person_account'
        and role = 'owner'
        and (started_on is null or started_on <= {{ business_date() }})
        and (ended_on is null or ended_on > {{ business_date() }})
    group by to_source, to_key
),

repaying as (
    select distinct source, repayment_account_id as account_id
    from {{ ref('stg_trusted__loans') }}
    where status in ('active', 'defaulted') and repayment_account_id is not null
)

select
    coalesce(accounts.source, owners.source) as source,
    coalesce(accounts.account_id, owners.account_id) as account_id,
    accounts.account_type,
    accounts.product_id,
    accounts.currency,
    accounts.branch_id,
    accounts.status,
    accounts.opened_on,
    accounts.closed_on,
    repaying.account_id is not null as repays_loan,
    profiles.one_id
from {{ ref('stg_trusted__accounts') }} accounts
full outer join owners
    on owners.source = accounts.source and owners.account_id = accounts.account_id
left join repaying
    on repaying.source = coalesce(accounts.source, owners.source)
    and repaying.account_id = coalesce(accounts.account_id, owners.account_id)
left join {{ ref('int_profiles_keyed') }} profiles
    on profiles.source = owners.person.from_source and profiles.source_key = owners.person.from_key
