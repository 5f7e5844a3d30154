{{ config(materialized='ephemeral') }}
-- Who never had a loan and is neither controlled nor of high money-laundering grade. One answer for all of it, so that nothing
-- tells who is restricted.
with borrowers as (
    select distinct owners.one_id
    from {{ ref('int_loans_known') }} loans
    join {{ ref('int_account_owners') }} owners
        on owners.source = loans.source and owners.account_id = loans.account_id
    where loans.was_granted and owners.one_id is not null
),

restricted as (
    select distinct one_id
    from {{ ref('int_controls_keyed') }}
    where is_in_force
        and (control_type in ('FRAUD', 'STOP_PAYMENT', 'JUDICIAL') or (control_type = 'AML_GRADE' and grade = 'H'))
)

select
    people.one_id,
    borrowers.one_id is null and restricted.one_id is null as is_open
from {{ ref('int_people') }} people
left join borrowers
    on borrowers.one_id = people.one_id
left join restricted
    on restricted.one_id = people.one_id
