{{ config(materialized='ephemeral') }}
-- Assignments stick: who was given a side of this half-year's global group stays there, whatever the share becomes.
select one_id, max(arm = 'CONTROL') as is_control
from {{ source('segments', 'assignments') }}
where salt = concat(
    'GCG-', year({{ business_date() }}), 'H', case when month({{ business_date() }}) <= 6 then 1 else 2 end
)
group by one_id
