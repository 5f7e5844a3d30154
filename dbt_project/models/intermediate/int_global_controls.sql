{{ config(materialized='ephemeral') }}
-- Assignments stick: who was given a side of this half-year's global group stays there, whatever the share becomes.
-- Only those of earlier nights: this night assigns after its tags are built, and a rerun must see what the first saw.
select one_id, max(arm = 'CONTROL') as is_control
from {{ source('segments', 'assignments') }}
where salt = concat(
    'GCG-', year({{ business_date() }}), 'H', case when month({{ business_date() }}) <= 6 then 1 else 2 end
)
and assigned_on < {{ business_date() }}
group by one_id
