{{ config(materialized='ephemeral') }}
-- Who said a word about being addressed at all. People without any are not in here: nothing is known of them.
with words as (
    select
        one_id,
        purpose in ('marketing', 'profiling') and channel = 'ALL' and decision = 'REFUSE' as is_refusal,
        false as is_complaint
    from {{ ref('int_consents_effective') }}

    union all

    select one_id, false, true
    from {{ ref('int_controls_keyed') }}
    where control_type = 'COMPLAINT' and is_in_force

    union all

    select one_id, false, true
    from {{ ref('int_contacts_keyed') }}
    where is_complaint
)

select
    one_id,
    max(is_refusal) as has_refused,
    max(is_complaint) as has_complained
from words
group by one_id
