{{ config(materialized='ephemeral') }}
-- Who may not be addressed by marketing at all, by their own word.
select
    one_id,
    opt_out_marketing as has_refused,
    has_complained
from {{ ref('int_contact_facts') }}
